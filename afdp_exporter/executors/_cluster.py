"""What the executors in a Kubernetes cluster share: where its API is, how an object is read, who owns it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afdp_exporter.errors import ActionRefused
from afdp_exporter.executors._api import Api
from afdp_exporter.executors._images import is_of
from afdp_exporter.http_config import Address, Authorization, TLSConfig
from afdp_exporter.versions import spellings

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_GITOPS = (
    "argocd.argoproj.io/tracking-id",
    "argocd.argoproj.io/instance",
    "kustomize.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/name",
)
_MANAGERS = {"flux", "argocd", "fleet", "config-sync"}


@dataclass(frozen=True, kw_only=True)
class Cluster(Api):
    """A Kubernetes API; by default the one of the cluster that the exporter runs in, as its service account."""

    url: Address = "https://kubernetes.default.svc"
    namespace: str = "default"
    gitops: bool = False  # whether what GitOps manages may be changed all the same: the controller will undo it

    def __post_init__(self) -> None:
        super().__post_init__()
        inside = self.authorization is None and self.basic_auth is None and (_ACCOUNT / "token").is_file()
        if inside and self.url == Cluster.url:
            object.__setattr__(self, "authorization", Authorization(credentials_file=_ACCOUNT / "token"))
            object.__setattr__(self, "tls_config", TLSConfig(ca_file=_ACCOUNT / "ca.crt"))

    def refuse_gitops(self, found: Mapping[str, Any]) -> None:
        """Raise ActionRefused where a controller would put back what is taken back."""
        metadata = found.get("metadata") or {}
        marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
        owner = next((mark for mark in _GITOPS if mark in marks), None)
        if owner is None and marks.get("app.kubernetes.io/managed-by", "").lower() in _MANAGERS:
            owner = "app.kubernetes.io/managed-by"
        if owner is not None and not self.gitops:
            raise ActionRefused(f"GitOps manages it ({owner}) and would undo it: revert the commit instead")


def images(template: Mapping[str, Any]) -> list[str]:
    """The images of a pod template."""
    containers = (template.get("spec") or {}).get("containers") or []
    return [str(container.get("image", "")) for container in containers]


def runs(template: Mapping[str, Any], version: str | None) -> bool:
    """Whether a pod template is of a version: by an image's tag or digest, or the usual label."""
    if version is None:
        return True
    labels = (template.get("metadata") or {}).get("labels") or {}
    named = {labels.get("app.kubernetes.io/version"), labels.get("version")} & spellings(version)
    return bool(named) or any(is_of(image, version) for image in images(template))


def revision(found: Mapping[str, Any], annotation: str) -> int:
    """The number of a revision by the annotation that holds it; 0 where there is none."""
    text = (found["metadata"].get("annotations") or {}).get(annotation, "0")
    return int(text) if str(text).isdigit() else 0


def without_label(template: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A pod template without the label that a controller adds to tell its revisions apart."""
    metadata = dict(template.get("metadata") or {})
    labels = {key: text for key, text in (metadata.get("labels") or {}).items() if key != name}
    return {**template, "metadata": {**metadata, "labels": labels}}

"""An annotation as scripts and tools write it for Grafana -> what it announces of a deployment.

Tags say it in pairs (`service:checkout`, `version = v2`), texts in the words of Argo CD's own templates.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from afdp_exporter.fields import coerce_labels, coerce_link, read_status
from afdp_exporter.model import Annotation, Announcement, Ignored, Origin, Status
from afdp_exporter.settings import STRICT

SENDER = "grafana"
_OURS = "afdp"  # the tag of what is sent by `notify`: it would come back for ever
_FLUX = "flux"
_PAIR = re.compile(r"\s*([\w./-]+?)\s*[:=]\s*(\S(?:.*\S)?)\s*", re.DOTALL)
_FIELDS = {
    "service": "service",
    "app": "application application_name argocd_application",
    "environment": "environment env stage",
    "namespace": "namespace",
    "cluster": "cluster",
    "repository": "repository repo project",
    "image": "image",
    "version": "version release tag revision",
    "commit": "commit sha git_sha",
    "actor": "actor user author deployer",
    "team": "team",
    "status": "status state phase",
    "url": "url link",
}
_NAMES = {word: field for field, words in _FIELDS.items() for word in (field, *words.split())}
_TEXTS = (  # of Argo CD's catalogue of templates
    (re.compile(r"The sync operation of application (?P<app>\S+) has been started"), Status.STARTED),
    (re.compile(r"Application (?P<app>\S+) has been successfully synced"), Status.SUCCEEDED),
    (re.compile(r"Application (?P<app>\S+) is now running"), Status.SUCCEEDED),
    (re.compile(r"The sync operation of application (?P<app>\S+) has failed"), Status.FAILED),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationSettings:
    """Which annotations report a deployment: those with one of these tags."""

    __pydantic_config__: ClassVar = STRICT

    deployment_tags: tuple[str, ...] = ("deploy", "deployment", "release", "rollout", "flux", "argocd")


def parse_annotation(annotation: Annotation, settings: AnnotationSettings, key: str) -> Announcement | Ignored:
    """What an annotation says of the deployment that is known by `key`; or why it says nothing."""
    plain = {tag.strip().lower() for tag in annotation.tags}
    if _OURS in plain:
        return Ignored(reason="this annotation was written by afdp-exporter")
    words = _words(annotation.tags, flux=_FLUX in plain)
    text_status: Status | None = None
    for pattern, meaning in _TEXTS:
        if found := pattern.search(annotation.text):
            text_status = meaning
            words.setdefault("app", found["app"])
    if text_status is None and not plain & {tag.lower() for tag in settings.deployment_tags}:
        wanted = ", ".join(settings.deployment_tags)
        return Ignored(reason=f"none of the tags that mark a deployment is there: {wanted}")
    status = _status(words.get("status")) or text_status
    finished_at = annotation.until if annotation.until != annotation.at else None
    return Announcement(
        sender=SENDER,
        key=key,
        event=f"{key}:{annotation.at.isoformat()}:{annotation.text}",
        origin=_origin(words, _labels(annotation.tags)),
        at=finished_at or annotation.at,
        status=status or Status.SUCCEEDED,
        started_at=annotation.at if finished_at else None,
        finished_at=finished_at,
        version=words.get("version"),
        commit=words.get("commit"),
        actor=words.get("actor"),
        team=words.get("team"),
        url=coerce_link(words.get("url")),
        description=annotation.text,
    )


def _words(tags: tuple[str, ...], *, flux: bool) -> dict[str, str]:
    """What the pairs among the tags say, by our names. Flux calls its object by kind, name and namespace."""
    found: dict[str, str] = {}
    for tag in tags:
        pair = _PAIR.fullmatch(tag)
        if pair is None:
            continue
        name = pair[1].lower().rpartition("/")[2].replace("-", "_").replace(".", "_")
        if flux and name == "name":
            name = "app"
        if name in _NAMES:
            found.setdefault(_NAMES[name], pair[2])
    return found


def _labels(tags: tuple[str, ...]) -> dict[str, str]:
    """What rules see of the tags: each pair by its name, each other one as `true`, and these together as `tags`."""
    pairs = {found[1]: found[2] for tag in tags if (found := _PAIR.fullmatch(tag))}
    bare = [tag.strip().lower() for tag in tags if not _PAIR.fullmatch(tag)]
    return coerce_labels({**dict.fromkeys(bare, "true"), **pairs, "tags": " ".join(sorted(bare))})


def _origin(words: Mapping[str, str], labels: Mapping[str, str]) -> Origin:
    return Origin(
        service=words.get("service"),
        environment=words.get("environment"),
        repository=words.get("repository"),
        application=words.get("app"),
        namespace=words.get("namespace"),
        cluster=words.get("cluster"),
        image=words.get("image"),
        labels=labels,
    )


def _status(word: str | None) -> Status | None:
    try:
        return read_status(word) if word else None
    except ValueError:
        return None

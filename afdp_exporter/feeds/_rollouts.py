"""A workload of Kubernetes and its revisions -> what its rollouts did: pure.

A rollout is a changed pod template: a new revision whose template differs from the one before it. Scaling makes no
revision; `kubectl rollout restart` makes one whose template is the same but for the mark that it sets.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, TypeAlias

import orjson

from afdp_exporter.feeds import Step
from afdp_exporter.fields import read_time
from afdp_exporter.model import Announcement, ChangeType, Ignored, Origin, Status, Strategy

Object: TypeAlias = Mapping[str, Any]

_RESTARTED = "kubectl.kubernetes.io/restartedAt"
_HASHES = {"pod-template-hash", "rollouts-pod-template-hash", "controller-revision-hash"}
_STRATEGIES = {"RollingUpdate": Strategy.ROLLING, "Recreate": Strategy.RECREATE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of workload, and what keeps its revisions; `annotation` numbers them, where a controller does so."""

    group: str
    version: str
    plural: str
    revisions: str
    annotation: str | None = None


KINDS = {
    "deployments": Kind(
        group="apps",
        version="v1",
        plural="deployments",
        revisions="replicasets",
        annotation="deployment.kubernetes.io/revision",
    ),
    "statefulsets": Kind(group="apps", version="v1", plural="statefulsets", revisions="controllerrevisions"),
    "daemonsets": Kind(group="apps", version="v1", plural="daemonsets", revisions="controllerrevisions"),
    "rollouts": Kind(
        group="argoproj.io",
        version="v1alpha1",
        plural="rollouts",
        revisions="replicasets",
        annotation="rollout.argoproj.io/revision",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A pod template that a workload had, by its number; `digest` leaves out what a restart changes."""

    number: int
    created: datetime
    template: Object
    digest: str

    @property
    def images(self) -> tuple[str, ...]:
        """Of its containers, in their order."""
        return tuple(each.get("image", "") for each in _at(self.template, "spec", "containers") or ())

    @property
    def version(self) -> str | None:
        """By its label, else the tag or digest of its first image."""
        label = _text((_at(self.template, "metadata", "labels") or {}).get("app.kubernetes.io/version"))
        image = self.images[0].rpartition("/")[2] if self.images else ""
        return label or image.partition("@")[2] or image.partition(":")[2] or None


def marker(kind: Kind, workload: Object) -> str | None:
    """What changes with every new revision and with nothing else; None while the controller has not seen it yet."""
    annotations = _at(workload, "metadata", "annotations") or {}
    if kind.annotation is not None:
        return _text(annotations.get(kind.annotation))
    if not _observed(workload):
        return None
    if kind.plural == "statefulsets":
        return _text(_at(workload, "status", "updateRevision"))
    return str(annotations.get("deprecated.daemonset.template.generation", workload["metadata"].get("generation")))


def revisions(kind: Kind, workload: Object, kept: list[Object]) -> list[Revision]:
    """The revisions of a workload among all that are kept in its namespace, oldest first, up to its present one.

    What is kept may be newer than what is told of the workload; that is left for when it is told.
    """
    uid = workload["metadata"]["uid"]
    own = [each for each in kept if any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences", ()))]
    found = []
    for each in own:
        annotated = kind.annotation and (_at(each, "metadata", "annotations") or {}).get(kind.annotation)
        number = int(annotated) if annotated else each.get("revision", 0)
        template = _at(each, "spec", "template") or _at(each, "data", "spec", "template") or {}
        created = read_time(each["metadata"]["creationTimestamp"])
        found.append(Revision(number=number, created=created, template=template, digest=_digest(template)))
    found.sort(key=lambda revision: revision.number)
    if kind.annotation is not None:
        newest = int(marker(kind, workload) or 0)
        return [revision for revision in found if revision.number <= newest]
    present = _digest(workload["spec"]["template"])
    return found[: max((place for place, each in enumerate(found, 1) if each.digest == present), default=0)]


def told(
    kind: Kind, workload: Object, kept: list[Revision], *, known: int, done: bool, cluster: str | None
) -> Iterator[Step]:
    """What the revisions behind the `known` one say; `done`: the known one has come to its end.

    How one ended that was followed by another is not known later on: it counts as rolled out, or as called off where
    it was seen to be under way.
    """
    for before, revision in pairwise([None, *kept]):
        assert revision is not None  # noqa: S101 - only the first is
        if revision.number <= known:
            continue
        if before is not None and before.digest == revision.digest:
            yield Ignored(reason=f"{_name(kind, workload)}: a restart, the pod template is the same")
            continue
        start = _start(revision, before, workload, newest=revision is kept[-1])
        if start is None:
            yield Ignored(
                reason=f"{_name(kind, workload)}: when revision {revision.number} was rolled out is not known"
            )
            continue
        words = _words(kind, workload, revision, before, cluster)
        if before is not None and before.number == known and not done:
            late = _words(kind, workload, before, None, cluster)
            yield Announcement(event="superseded", status=Status.CANCELLED, at=start, **late)
        yield Announcement(event="started", status=Status.STARTED, at=start, **words)
        if revision is not kept[-1]:
            yield Announcement(event="superseded", status=Status.SUCCEEDED, at=start, **words)


def ended(kind: Kind, workload: Object, newest: Revision, *, cluster: str | None) -> Announcement | None:
    """How the newest revision ended, once it has."""
    found = _outcome(kind, workload)
    if found is None:
        return None
    status, at = found
    if at is not None and at < newest.created:
        return None  # the state of the one before it
    words = _words(kind, workload, newest, None, cluster)
    return Announcement(event=status, status=status, at=at, **words)


def _words(
    kind: Kind, workload: Object, revision: Revision, before: Revision | None, cluster: str | None
) -> dict[str, Any]:
    meta = workload["metadata"]
    notes = meta.get("annotations") or {}
    labels = {**(meta.get("labels") or {}), **(_at(revision.template, "metadata", "labels") or {})}
    origin = Origin(
        service=notes.get("afdp.io/service"),
        environment=notes.get("afdp.io/environment"),
        application=labels.get("app.kubernetes.io/name") or meta["name"],
        namespace=meta.get("namespace"),
        cluster=cluster,
        image=revision.images[0] if revision.images else None,
        labels={_label(name): str(text) for name, text in labels.items() if name not in _HASHES},
    )
    place = "/".join(filter(None, (cluster, meta.get("namespace"), kind.plural, meta["name"])))
    return {
        "sender": "kubernetes",
        "key": f"{place}:{meta['uid'][:8]}:{revision.number}",
        "origin": origin,
        "version": revision.version,
        "previous_version": before.version if before is not None else None,
        "commit": notes.get("afdp.io/commit"),
        "description": notes.get("kubernetes.io/change-cause"),
        "change_types": _changes(revision, before),
        "strategy": _strategy(workload),
    }


def _changes(revision: Revision, before: Revision | None) -> tuple[ChangeType, ...]:
    if before is None:
        return ()
    return (ChangeType.CODE,) if revision.images != before.images else (ChangeType.CONFIG,)


def _strategy(workload: Object) -> Strategy | None:
    spec = workload.get("spec") or {}
    chosen = spec.get("strategy") or spec.get("updateStrategy") or {}
    if "canary" in chosen:
        return Strategy.CANARY
    if "blueGreen" in chosen:
        return Strategy.BLUE_GREEN
    return _STRATEGIES.get(chosen.get("type", ""))


def _start(revision: Revision, before: Revision | None, workload: Object, *, newest: bool) -> datetime | None:
    """When it was made; of one that is older than the one before it, a rollback, only the workload knows."""
    if before is None or revision.created > before.created:
        return revision.created
    if not newest:
        return None
    progress = _condition(workload, "Progressing")
    return _time(progress.get("lastUpdateTime")) or _written(workload, status=False)


def _outcome(kind: Kind, workload: Object) -> tuple[Status, datetime | None] | None:
    status = workload.get("status") or {}
    if not _observed(workload):
        return None
    if kind.plural == "rollouts":
        if status.get("abort"):
            return Status.ROLLED_BACK, _written(workload, status=True)
        word = {"Healthy": Status.SUCCEEDED, "Degraded": Status.FAILED}.get(status.get("phase", ""))
        return None if word is None else (word, _written(workload, status=True))
    if kind.plural == "deployments":
        progress = _condition(workload, "Progressing")
        if progress.get("reason") == "NewReplicaSetAvailable":
            return Status.SUCCEEDED, _time(progress.get("lastUpdateTime"))
        failed = progress.get("status") == "False" and progress.get("reason") != "DeploymentPaused"
        return (Status.FAILED, _time(progress.get("lastUpdateTime"))) if failed else None
    return (Status.SUCCEEDED, _written(workload, status=True)) if _settled(kind, workload, status) else None


def _settled(kind: Kind, workload: Object, status: Object) -> bool:
    if kind.plural == "daemonsets":
        wanted = status.get("desiredNumberScheduled", 0)
        return bool(status.get("updatedNumberScheduled", 0) == wanted == status.get("numberAvailable", 0))
    wanted = _at(workload, "spec", "replicas")
    wanted = 1 if wanted is None else wanted
    return bool(status.get("updatedReplicas", 0) == wanted == status.get("readyReplicas", 0))


def _observed(workload: Object) -> bool:
    """Whether its status belongs to what is asked of it; Argo writes the number as text."""
    seen = str(_at(workload, "status", "observedGeneration") or 0)
    return not seen.isdigit() or int(seen) >= workload["metadata"].get("generation", 0)


def _condition(workload: Object, kind: str) -> Object:
    conditions = _at(workload, "status", "conditions") or ()
    return next((each for each in conditions if each.get("type") == kind), {})


def _written(workload: Object, *, status: bool) -> datetime | None:
    """When somebody last wrote its status, or anything else of it."""
    times = [
        _time(entry.get("time"))
        for entry in workload["metadata"].get("managedFields") or ()
        if (entry.get("subresource") == "status") is status and entry.get("subresource") != "scale"
    ]
    return max((time for time in times if time is not None), default=None)


def _digest(template: Object) -> str:
    meta = _at(template, "metadata") or {}
    notes = {name: text for name, text in (meta.get("annotations") or {}).items() if name != _RESTARTED}
    labels = {name: text for name, text in (meta.get("labels") or {}).items() if name not in _HASHES}
    plain = {"annotations": notes, "labels": labels, "spec": template.get("spec")}
    return hashlib.sha256(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _time(text: object) -> datetime | None:
    return None if text is None else read_time(text)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _label(name: str) -> str:
    return "".join(each if each.isascii() and each.isalnum() else "_" for each in name)


def _name(kind: Kind, workload: Object) -> str:
    return f"{kind.plural} {workload['metadata'].get('namespace')}/{workload['metadata']['name']}"


def _at(content: Any, *names: str) -> Any:  # noqa: ANN401 - whatever lies there
    for name in names:
        content = content.get(name) if isinstance(content, Mapping) else None
    return content

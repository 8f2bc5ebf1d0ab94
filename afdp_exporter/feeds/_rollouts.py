"""A workload of Kubernetes and its revisions -> what its rollouts did: pure.

A rollout is a changed pod template: a new revision whose template differs from the one before it. Scaling makes no
revision; `kubectl rollout restart` makes one whose template is the same but for the mark that it sets, and belongs to
the rollout that it meets. `kubectl rollout undo` takes an old revision up again under a new number.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

import orjson

from afdp_exporter.feeds import Step
from afdp_exporter.fields import coerce_labels, image_version, read_time
from afdp_exporter.model import Announcement, ChangeType, Ignored, Origin, Status, Strategy

Object: TypeAlias = Mapping[str, Any]

_RESTARTED = "kubectl.kubernetes.io/restartedAt"
_HASHES = {"pod-template-hash", "rollouts-pod-template-hash", "controller-revision-hash"}
_STRATEGIES = {"RollingUpdate": Strategy.ROLLING, "Recreate": Strategy.RECREATE}
_KEPT = 25  # revisions of a workload that are remembered; a cluster keeps 10 by default
UNTOLD = "untold"
"""The end of a rollout of which nothing is said: it was over before we came, or was a restart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A collection of objects."""

    group: str
    version: str
    plural: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Resource):
    """A kind of workload, and what keeps its revisions; `annotation` numbers them, where a controller does so."""

    revisions: Resource
    annotation: str | None = None


_REPLICA_SETS = Resource(group="apps", version="v1", plural="replicasets")
_CONTROLLER_REVISIONS = Resource(group="apps", version="v1", plural="controllerrevisions")

KINDS = {
    "deployments": Kind(
        group="apps",
        version="v1",
        plural="deployments",
        revisions=_REPLICA_SETS,
        annotation="deployment.kubernetes.io/revision",
    ),
    "statefulsets": Kind(group="apps", version="v1", plural="statefulsets", revisions=_CONTROLLER_REVISIONS),
    "daemonsets": Kind(group="apps", version="v1", plural="daemonsets", revisions=_CONTROLLER_REVISIONS),
    "rollouts": Kind(
        group="argoproj.io",
        version="v1alpha1",
        plural="rollouts",
        revisions=_REPLICA_SETS,
        annotation="rollout.argoproj.io/revision",
    ),
}
_ANNOTATIONS = tuple(kind.annotation for kind in KINDS.values() if kind.annotation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A pod template that a workload had, by its number; `digest` leaves out what a restart changes.

    `again` says that it had other numbers before, so that `created` is not when it got this one.
    """

    number: int
    created: datetime | None
    digest: str
    images: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    again: bool = False

    @property
    def version(self) -> str | None:
        """By its label, else the tag or digest of its first image."""
        label = _text(self.labels.get("app.kubernetes.io/version"))
        return label or image_version(self.images[0] if self.images else None)


class Seen(NamedTuple):
    """Of a workload: what marks its newest revision, its number, and how its rollout ended; empty while it goes on.

    `rollout` is the number of the revision with which the rollout began, and `start` when.
    """

    marker: str
    number: int
    end: str
    rollout: int = 0
    start: datetime | None = None
    digest: str = ""
    images: tuple[str, ...] = ()
    version: str | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more can come of it; what has failed or was aborted may still get well."""
        return self.end not in {"", Status.FAILED, Status.ROLLED_BACK}


class Revisions:
    """What keeps the revisions of workloads, as it was listed and has changed since: no list for each event."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, Revision]] = {}

    def keep(self, objects: Iterable[Object]) -> None:
        """Remember objects; one that a cluster has deleted meanwhile is still a past revision."""
        for each in objects:
            for owner in each["metadata"].get("ownerReferences") or ():
                known = self._of.setdefault(owner["uid"], {})
                known[each["metadata"]["name"]] = _revision(each)
                if len(known) > _KEPT:
                    del known[min(known, key=lambda name: known[name].number)]

    def of(self, workload: Object) -> list[Revision]:
        """The revisions of a workload, by their number."""
        return sorted(self._of.get(workload["metadata"]["uid"], {}).values(), key=lambda each: each.number)

    def forget(self, workload: Object) -> None:
        """It was deleted."""
        self._of.pop(workload["metadata"]["uid"], None)


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


def present(kind: Kind, workload: Object, known: list[Revision], seen: Seen | None) -> list[Revision] | None:
    """The known revisions of a workload up to the one that it is at; None where this one is not among them yet.

    What is known may be newer than what is said of the workload; that is left for when it is said.
    """
    mark = marker(kind, workload)
    if kind.annotation is not None:
        number = int(mark) if mark and mark.isdigit() else 0
        upto = [revision for revision in known if revision.number <= number]
        return upto if upto and upto[-1].number == number else None
    digest = _digest(workload["spec"]["template"])
    upto = known[: max((place for place, each in enumerate(known, 1) if each.digest == digest), default=0)]
    if not upto or (seen is not None and seen.marker != mark and upto[-1].number <= seen.number):
        return None
    return upto


def has_gap(revisions: list[Revision], seen: Seen | None) -> bool:
    """Whether a revision between the one that was seen and the present one is not known; an undo leaves none."""
    known = {revision.number for revision in revisions}
    return seen is not None and not known.issuperset(range(seen.number + 1, revisions[-1].number))


def from_template(kind: Kind, workload: Object, known: list[Revision], seen: Seen | None) -> list[Revision] | None:
    """As `present`, with the revision as the workload's own template says it.

    What keeps it may be gone, or has a newer number already, where the workload is behind.
    """
    mark = marker(kind, workload)
    if kind.annotation is not None:
        number = int(mark) if mark and mark.isdigit() else 0
    else:
        number = seen.number + (seen.marker != mark) if seen is not None else 0
    if not number:
        return None
    own = _of_template(workload["spec"].get("template") or {}, number=number, created=None)
    created = next((each.created for each in known if each.digest == own.digest), None)
    return [*(each for each in known if each.number < number), replace(own, created=created)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A workload, the revisions up to its present one, and when this was received."""

    kind: Kind
    workload: Object
    revisions: list[Revision]
    received_at: datetime
    cluster: str | None = None


def follow(sight: Sight, seen: Seen | None, since: datetime) -> tuple[list[Step], Seen]:
    """What is new of a workload, and what is known of it from now on; what began before `since` is not reported.

    How a rollout ended that was followed by another is not known later on: it counts as rolled out, or as cancelled
    where it was seen to be under way.
    """
    mark = marker(sight.kind, sight.workload) or ""
    steps: list[Step] = []
    newest = sight.revisions[-1]
    now = seen or _begun(newest, newest.created)
    if seen is None or seen.marker != mark:
        found = list(_rolled_out(sight, seen))
        steps += [step for step, _ in found if seen is not None or not _before(step, since)]
        now = found[-1][1] if found else now
        if seen is None and now.start is not None and now.start < since:
            now = now._replace(end=UNTOLD)
        now = now._replace(marker=mark, number=newest.number)
    if not now.over and (end := _ended(sight, now)) is not None and end.status != now.end:
        steps.append(end)
        now = now._replace(end=str(end.status))
    return steps, now


def _rolled_out(sight: Sight, seen: Seen | None) -> Iterator[tuple[Step, Seen]]:
    """Each rollout behind the one that was seen: it cancels the one before it, and begins."""
    known = seen.number if seen is not None else 0
    before, current = (_of_seen(sight, seen) if seen is not None else None), seen
    for revision in (each for each in sight.revisions if each.number > known):
        if before is not None and before.digest == revision.digest:
            before = revision
            if current is None or current.over:
                current = (current or _begun(revision, revision.created))._replace(end=UNTOLD)
                yield Ignored(reason=f"{_name(sight)}: a restart, the pod template is the same"), current
            continue
        newest = revision is sight.revisions[-1]
        start = _start(sight, revision, before, current, newest=newest)
        if start is None:
            current = _begun(revision, None)._replace(end=UNTOLD)
            reason = f"{_name(sight)}: when revision {revision.number} was rolled out is not known"
            yield Ignored(reason=reason), current
        else:
            if current is not None and current is seen and not current.end:
                late = _words(sight, current.rollout or current.number, _of_seen(sight, current), None)
                yield Announcement(event="superseded", status=Status.CANCELLED, at=start, **late), current
            current = _begun(revision, start)
            words = _words(sight, revision.number, revision, before)
            yield Announcement(event="started", status=Status.STARTED, at=start, **words), current
            if not newest and not _restarted_later(sight, revision):
                current = current._replace(end=str(Status.SUCCEEDED))
                yield Announcement(event="superseded", status=Status.SUCCEEDED, at=start, **words), current
        before = revision


def _restarted_later(sight: Sight, revision: Revision) -> bool:
    """Whether only restarts came behind a revision, so that its rollout is the present one."""
    behind = [each for each in sight.revisions if each.number > revision.number]
    return all(each.digest == revision.digest for each in behind)


def _begun(revision: Revision, start: datetime | None) -> Seen:
    return Seen(
        marker="",
        number=revision.number,
        end="",
        rollout=revision.number,
        start=start,
        digest=revision.digest,
        images=revision.images,
        version=revision.version,
    )


def _of_seen(sight: Sight, seen: Seen) -> Revision:
    """The revision that was seen, which an undo may have renumbered since."""
    same = (each for each in sight.revisions if each.number == seen.number or each.digest == seen.digest)
    label = {"app.kubernetes.io/version": seen.version} if seen.version else {}
    bare = Revision(number=seen.number, created=seen.start, digest=seen.digest, images=seen.images, labels=label)
    return next(same, bare)


def _before(step: Step, since: datetime) -> bool:
    return isinstance(step, Ignored) or (isinstance(step, Announcement) and step.at is not None and step.at < since)


def _words(sight: Sight, number: int, revision: Revision, before: Revision | None) -> dict[str, Any]:
    meta, cluster = sight.workload["metadata"], sight.cluster
    notes = meta.get("annotations") or {}
    labels = {**(meta.get("labels") or {}), **revision.labels}
    origin = Origin(
        service=notes.get("afdp.io/service"),
        environment=notes.get("afdp.io/environment"),
        application=labels.get("app.kubernetes.io/name") or meta["name"],
        namespace=meta.get("namespace"),
        cluster=cluster,
        image=revision.images[0] if revision.images else None,
        labels=coerce_labels({name: text for name, text in labels.items() if name not in _HASHES}),
    )
    place = "/".join(filter(None, (cluster, meta.get("namespace"), sight.kind.plural, meta["name"])))
    return {
        "sender": "kubernetes",
        "key": f"{place}:{meta['uid'][:8]}:{number}",
        "origin": origin,
        "version": revision.version,
        "previous_version": before.version if before is not None else None,
        "commit": notes.get("afdp.io/commit"),
        "description": notes.get("kubernetes.io/change-cause"),
        "change_types": _changes(revision, before),
        "strategy": _strategy(sight.workload),
        "observed": True,
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


def _start(
    sight: Sight, revision: Revision, before: Revision | None, current: Seen | None, *, newest: bool
) -> datetime | None:
    """When it was made; of one that was taken up again only the workload knows, and who received it.

    Its template bears the time of whoever wrote it last, the controllers apart; its progress is renewed only once the
    first pods come up. Either has to lie behind the rollout before.
    """
    behind = (current.start if current is not None else None, before.created if before is not None else None)
    last = max((time for time in behind if time is not None), default=None)
    if revision.created is not None and not revision.again and (last is None or revision.created > last):
        return revision.created
    if not newest:
        return None
    written, renewed = _template_written(sight.workload), _progressed(sight.workload)
    if current is None:  # met for the first time: whoever wrote it last may have changed something else since
        known = [time for time in (written, renewed) if time is not None]
        return min(known) if known and _complete(sight) else written or renewed
    times = [time for time in (written, renewed) if time is not None and (last is None or time > last)]
    return times[0] if times else sight.received_at


def _ended(sight: Sight, seen: Seen) -> Announcement | None:
    """How the rollout that is seen stands, once it has ended."""
    found = _outcome(sight, seen.start)
    if found is None:
        return None
    status, at = found
    own = next((each for each in sight.revisions if each.number == seen.number), sight.revisions[-1])
    words = _words(sight, seen.rollout or seen.number, own, None)
    return Announcement(event=f"{status}:{int(at.timestamp())}", status=status, at=at, **words)


def _outcome(sight: Sight, start: datetime | None) -> tuple[Status, datetime] | None:
    workload, status = sight.workload, sight.workload.get("status") or {}
    if not _observed(workload):
        return None
    if sight.kind.plural == "rollouts":
        word = {"Healthy": Status.SUCCEEDED, "Degraded": Status.FAILED}.get(status.get("phase", ""))
        word = Status.ROLLED_BACK if status.get("abort") else word
        return None if word is None else (word, _reported(sight, start))
    if sight.kind.plural != "deployments":
        return (Status.SUCCEEDED, _reported(sight, start)) if _complete(sight) else None
    progress, renewed = _condition(workload, "Progressing"), _progressed(workload)
    fresh = renewed is not None and (start is None or renewed >= start)
    reason = progress.get("reason")
    if reason == "NewReplicaSetAvailable" and renewed is not None and (fresh or _complete(sight)):
        return Status.SUCCEEDED, max(renewed, start or renewed)
    if progress.get("status") == "False" and reason != "DeploymentPaused":
        return (Status.FAILED, renewed) if fresh and renewed is not None else None
    settled = reason in {None, "DeploymentPaused", "DeploymentResumed"} and _complete(sight)
    return (Status.SUCCEEDED, _reported(sight, start)) if settled else None


def _reported(sight: Sight, start: datetime | None) -> datetime:
    """When the status was last written, where that was since the start, else when it was received."""
    written = _written(sight.workload, _of_status)
    return written if written is not None and (start is None or written >= start) else sight.received_at


def _complete(sight: Sight) -> bool:
    """Whether `kubectl rollout status` would call it complete."""
    workload, status = sight.workload, sight.workload.get("status") or {}
    if not _observed(workload):
        return False
    if sight.kind.plural == "daemonsets":
        wanted = status.get("desiredNumberScheduled", 0)
        return bool(status.get("updatedNumberScheduled", 0) == wanted == status.get("numberAvailable", 0))
    wanted = _at(workload, "spec", "replicas")
    wanted = 1 if wanted is None else wanted
    updated = status.get("updatedReplicas", 0)
    if sight.kind.plural == "statefulsets":
        kept_back = _at(workload, "spec", "updateStrategy", "rollingUpdate", "partition") or 0
        return bool(updated >= max(wanted - kept_back, 0) and status.get("readyReplicas", 0) == wanted)
    return bool(updated == wanted == status.get("replicas", 0) == status.get("availableReplicas", 0))


def _observed(workload: Object) -> bool:
    """Whether its status belongs to what is asked of it; Argo writes the number as text."""
    seen = str(_at(workload, "status", "observedGeneration") or 0)
    return not seen.isdigit() or int(seen) >= workload["metadata"].get("generation", 0)


def _condition(workload: Object, kind: str) -> Object:
    conditions = _at(workload, "status", "conditions") or ()
    return next((each for each in conditions if each.get("type") == kind), {})


def _progressed(workload: Object) -> datetime | None:
    return _time(_condition(workload, "Progressing").get("lastUpdateTime"))


def _template_written(workload: Object) -> datetime | None:
    """When somebody last wrote the pod template: who writes the status, or only the scale, is no such one."""
    return _written(workload, lambda entry: not _of_status(entry) and _of_template_field(entry))


def _written(workload: Object, by: Callable[[Object], bool]) -> datetime | None:
    entries = workload["metadata"].get("managedFields") or ()
    times = [_time(entry.get("time")) for entry in entries if by(entry)]
    return max((time for time in times if time is not None), default=None)


def _of_status(entry: Object) -> bool:
    """Older servers do not name the subresource."""
    return entry.get("subresource") == "status" or "f:status" in (entry.get("fieldsV1") or {})


def _of_template_field(entry: Object) -> bool:
    fields = entry.get("fieldsV1")
    return "subresource" not in entry and (fields is None or "f:template" in (_at(fields, "f:spec") or {}))


def _revision(content: Object) -> Revision:
    notes = _at(content, "metadata", "annotations") or {}
    annotated = next((notes[name] for name in _ANNOTATIONS if notes.get(name)), None)
    history = any(notes.get(f"{name}-history") for name in _ANNOTATIONS)
    template = _at(content, "spec", "template") or _at(content, "data", "spec", "template") or {}
    number = int(annotated) if annotated and annotated.isdigit() else int(content.get("revision") or 0)
    created = read_time(content["metadata"]["creationTimestamp"])
    return replace(_of_template(template, number=number, created=created), again=history)


def _of_template(template: Object, *, number: int, created: datetime | None) -> Revision:
    return Revision(
        number=number,
        created=created,
        digest=_digest(template),
        images=tuple(each.get("image", "") for each in _at(template, "spec", "containers") or ()),
        labels=_at(template, "metadata", "labels") or {},
    )


def _digest(template: Object) -> str:
    meta = _at(template, "metadata") or {}
    notes = {name: text for name, text in (meta.get("annotations") or {}).items() if name != _RESTARTED}
    labels = {name: text for name, text in (meta.get("labels") or {}).items() if name not in _HASHES}
    plain = {"annotations": notes, "labels": labels, "spec": template.get("spec")}
    return hashlib.sha256(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def _time(text: object) -> datetime | None:
    return None if text is None else read_time(text)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _name(sight: Sight) -> str:
    meta = sight.workload["metadata"]
    return f"{sight.kind.plural} {meta.get('namespace')}/{meta['name']}"


def _at(content: Any, *names: str) -> Any:  # noqa: ANN401 - whatever lies there
    for name in names:
        content = content.get(name) if isinstance(content, Mapping) else None
    return content

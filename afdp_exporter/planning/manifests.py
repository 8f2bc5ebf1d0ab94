"""Manifests of Kubernetes -> what they ask for all the time: pods, cores, memory, volumes.

Reads Deployments, StatefulSets, DaemonSets, autoscalers and claims of volumes. Jobs stand for no standing cost; what
else there is asks for nothing and is named.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from afdp_exporter.errors import BadInput, Fault
from afdp_exporter.planning.cloud_cost import Pair, Workload

Key: TypeAlias = tuple[str, str, str]
"""Namespace, kind and name."""
_RUNNING = ("Deployment", "StatefulSet", "DaemonSet")
_JOBS = ("Job", "CronJob")
_SUFFIXES = ("*.yaml", "*.yml", "*.json")
_MOST = 10_000_000  # bytes of one file
_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:([eE][+-]?\d{1,3})|(n|u|m|k|[MGTPE]|[KMGTPE]i))?")
_UNITS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3} | {  # what Kubernetes may write behind a quantity
    unit: base**power
    for tail, base in (("", 1000.0), ("i", 1024.0))
    for power, unit in enumerate((f"{letter}{tail}" for letter in "KMGTPE"), start=1)
    if unit != "K"
}
_GIB = 2.0**30  # bytes
_SMALLEST, _LARGEST = 1e-9, 2.0**63  # quantities, as Kubernetes keeps them


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """What a folder asks for, and what is to be said of how it was read."""

    workloads: Mapping[Key, Workload]
    notes: tuple[str, ...] = ()


def read_folder(folder: Path, nodes: int) -> Requested:
    """What all manifests below a folder ask for; a DaemonSet runs on so many nodes. Raises BadInput by file."""
    paths = sorted(path for suffix in _SUFFIXES for path in folder.rglob(suffix) if path.is_file())
    if not paths:
        raise BadInput(Fault(str(folder), "holds no manifests (*.yaml, *.yml, *.json)"))
    found: list[tuple[str, Mapping[str, Any]]] = []
    for path in paths:
        found += [(str(path), each) for each in _documents(path)]
    return requested(found, nodes)


def pairs_of(before: Requested, after: Requested) -> list[Pair]:
    """Each workload before and after, those that stay as they are left out."""
    keys = sorted({*before.workloads, *after.workloads})
    pairs = [(before.workloads.get(key), after.workloads.get(key)) for key in keys]
    return [pair for pair in pairs if pair[0] != pair[1]]


def requested(documents: Iterable[tuple[str, Mapping[str, Any]]], nodes: int = 1) -> Requested:
    """What manifests ask for, each with where it stands. Raises BadInput."""
    found: dict[Key, Workload] = {}
    scalers: list[tuple[str, str, Mapping[str, Any]]] = []
    notes: list[str] = []
    ignored: Counter[str] = Counter()
    for where, manifest in documents:
        kind, about = str(manifest.get("kind")), _map(manifest.get("metadata"))
        space, spec = str(about.get("namespace") or "default"), _map(manifest.get("spec"))
        key = (space, kind, str(about.get("name")))
        if kind == "HorizontalPodAutoscaler":
            scalers.append((where, space, spec))
        elif kind not in {*_RUNNING, "PersistentVolumeClaim"}:
            ignored[kind] += 1
        elif key in found:
            raise BadInput(Fault(where, f"{kind} {key[2]} is there twice"))
        else:
            found[key] = _read(where, partial(_workload, kind, spec, nodes))
            notes += _said(kind, key[2], found[key])
    for where, space, spec in scalers:
        of = _map(spec.get("scaleTargetRef"))
        key = (space, str(of.get("kind")), str(of.get("name")))
        if key in found:
            found[key] = _read(where, partial(_scaled, found[key], spec))
        else:
            notes.append(f"an autoscaler of {key[1]} {key[2]}, which is not among the manifests, is not counted")
    jobs = sum(ignored.pop(kind, 0) for kind in _JOBS)
    notes += [f"{jobs} jobs: no standing cost"] if jobs else []
    others = ", ".join(f"{kind} ({count})" for kind, count in sorted(ignored.items()))
    return Requested(workloads=found, notes=(*notes, *([f"not counted: {others}"] if others else [])))


def quantity(value: object) -> float:
    """A quantity of Kubernetes, such as `500m`, `2`, `1.5Gi`, `1e3`; in units. Raises ValueError."""
    match = _QUANTITY.fullmatch(str(value).strip()) if not isinstance(value, bool) else None
    if match is None:
        raise ValueError(f"{str(value)[:40]!r} is no quantity, such as 500m or 2Gi")
    number, exponent, unit = match.groups()
    found = float(number + (exponent or "")) * _UNITS.get(unit or "", 1.0)
    if found >= _LARGEST:
        raise ValueError("a quantity is too large")
    return max(found, _SMALLEST) if found else 0.0


def _documents(path: Path) -> Iterator[Mapping[str, Any]]:
    """The manifests of a file, those of a List one by one."""
    try:
        if path.stat().st_size > _MOST:
            raise BadInput(Fault(str(path), f"is larger than {_MOST:,} bytes"))
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadInput(Fault(str(path), error.strerror or "cannot be read")) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # whose words may hold what stands in the file
        why = f"is not YAML ({type(error).__name__}); templates are rendered first, as by `helm template`"
        raise BadInput(Fault(str(path), why)) from None
    for document in documents:
        is_list = str(_map(document).get("kind")).endswith("List")
        yield from _maps(_map(document).get("items")) if is_list else _maps([document])


def _read(where: str, read: Callable[[], Workload]) -> Workload:
    try:
        return read()
    except ValueError as error:
        raise BadInput(Fault(where, str(error))) from None


def _said(kind: str, name: str, workload: Workload) -> Iterator[str]:
    if kind == "DaemonSet":
        yield f"DaemonSet {name} is counted for {workload.least:.0f} nodes (--nodes)"
    if kind in _RUNNING and not (workload.cores and workload.memory_gib):
        yield f"{kind} {name} has no requests for {'memory' if workload.cores else 'CPU'}: what it uses is not known"


def _workload(kind: str, spec: Mapping[str, Any], nodes: int) -> Workload:
    if kind == "PersistentVolumeClaim":
        return Workload(least=1, most=1, storage_gib=_storage(spec))
    pods = float(nodes) if kind == "DaemonSet" else _count(spec.get("replicas"))
    pod = _map(_map(spec.get("template")).get("spec"))
    claims = _maps(spec.get("volumeClaimTemplates"))
    return Workload(
        least=pods,
        most=pods,
        cores=_of_pod(pod, "cpu"),
        memory_gib=_of_pod(pod, "memory") / _GIB,
        storage_gib=sum(_storage(_map(claim.get("spec"))) for claim in claims),
    )


def _scaled(workload: Workload, spec: Mapping[str, Any]) -> Workload:
    """The workload between the bounds of its autoscaler, in its first form or its second."""
    least, most = _count(spec.get("minReplicas")), _count(spec.get("maxReplicas"))
    percent = spec.get("targetCPUUtilizationPercentage")
    for metric in _maps(spec.get("metrics")):
        resource = _map(metric.get("resource"))
        if resource.get("name") == "cpu":
            percent = _map(resource.get("target")).get("averageUtilization", percent)
    target = quantity(percent) / 100.0 if percent is not None else None
    return replace(workload, least=least, most=max(least, most), target=target or None)


def _of_pod(pod: Mapping[str, Any], resource: str) -> float:
    """What is kept free for a pod: its own request, else its containers' sum, or the largest at its start."""
    own = _asked(pod, resource)
    if own is not None:
        return own
    starting = list(_maps(pod.get("initContainers")))
    beside = [each for each in starting if each.get("restartPolicy") == "Always"]
    always = sum(_asked(each, resource) or 0.0 for each in [*_maps(pod.get("containers")), *beside])
    return max([always, *(_asked(each, resource) or 0.0 for each in starting)])


def _asked(container: Mapping[str, Any], resource: str) -> float | None:
    """The request, which is the limit where only that is reported."""
    resources = _map(container.get("resources"))
    values = (_map(resources.get(key)).get(resource) for key in ("requests", "limits"))
    return next((quantity(value) for value in values if value is not None), None)


def _storage(claim: Mapping[str, Any]) -> float:
    value = _map(_map(claim.get("resources")).get("requests")).get("storage")
    return quantity(value) / _GIB if value is not None else 0.0


def _count(value: object) -> float:
    return 1.0 if value is None else quantity(value)


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _maps(value: object) -> Iterator[Mapping[str, Any]]:
    return (each for each in value if isinstance(each, Mapping)) if isinstance(value, list) else iter(())

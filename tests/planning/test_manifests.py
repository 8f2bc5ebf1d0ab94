"""What manifests ask for: each kind as Kubernetes counts it, and what cannot be read named by its file."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.errors import BadInput
from afdp_exporter.planning.cloud_cost import Workload
from afdp_exporter.planning.manifests import pairs_of, quantity, read_folder, requested


def pod(cpu: str | float = "500m", memory: str = "1Gi", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    container = {"name": "app", "resources": {"requests": {"cpu": cpu, "memory": memory}}}
    return {"template": {"spec": {"containers": [container], **more}}}


def manifest(kind: str, spec: dict[str, Any], name: str = "checkout") -> dict[str, Any]:
    return {"apiVersion": "any/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def workload(*manifests: dict[str, Any], nodes: int = 1) -> Workload:
    (found,) = requested([("file", each) for each in manifests], nodes).workloads.values()
    return found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", 0.5), ("2", 2.0), (2, 2.0), (0.25, 0.25), ("1.5Gi", 1.5 * 2**30), ("1e3", 1000.0),
        ("128974848", 128974848), ("129M", 129e6), ("64Ki", 65536.0), ("1k", 1000.0), ("2E", 2e18),
        ("1Ei", 2.0**60), ("100n", 1e-7), ("1E2", 100.0), ("1e-300", 1e-9),
    ],
)  # fmt: skip
def test_quantities_are_read_as_kubernetes_writes_them(text: object, value: float) -> None:
    assert quantity(text) == pytest.approx(value)


@given(st.one_of(st.text(), st.booleans(), st.none(), st.floats(), st.integers(), st.lists(st.integers())))
def test_whatever_stands_for_a_quantity_is_a_number_from_nought_up_or_refused(value: object) -> None:
    try:
        found = quantity(value)
    except ValueError:
        return
    assert 0.0 <= found < 2.0**63


def test_pods_are_counted_by_replicas_and_by_the_bounds_of_an_autoscaler() -> None:
    plain = manifest("Deployment", {"replicas": 3, **pod()})
    assert workload(plain) == Workload(least=3, most=3, cores=0.5, memory_gib=1.0)
    assert workload(manifest("Deployment", pod())).least == 1
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 70}}}
    of = {"scaleTargetRef": {"kind": "Deployment", "name": "checkout"}, "minReplicas": 2, "maxReplicas": 8}
    for scaler in ({**of, "metrics": [cpu]}, {**of, "targetCPUUtilizationPercentage": 70}):
        scaled = workload(manifest("HorizontalPodAutoscaler", scaler, "other"), plain)
        assert (scaled.least, scaled.most, scaled.target) == (2, 8, 0.7)
    assert workload(manifest("DaemonSet", pod()), nodes=12).least == 12


def test_a_pod_asks_for_what_kubernetes_keeps_free_for_it() -> None:
    heavy_start = {"resources": {"requests": {"cpu": 2}}}
    sidecar = {"restartPolicy": "Always", "resources": {"requests": {"cpu": "250m"}}}
    limited = {"resources": {"limits": {"cpu": 3, "memory": "512Mi"}}}
    assert workload(manifest("Deployment", pod(initContainers=[heavy_start]))).cores == 2
    assert workload(manifest("Deployment", pod(initContainers=[sidecar]))).cores == 0.75
    assert workload(manifest("Deployment", pod(containers=[limited]))) == Workload(
        least=1, most=1, cores=3, memory_gib=0.5
    )
    assert workload(manifest("Deployment", pod(resources={"requests": {"cpu": 4}}))).cores == 4


def test_volumes_are_those_of_claims_and_of_each_pod_of_a_stateful_set() -> None:
    claim = {"resources": {"requests": {"storage": "20Gi"}}}
    assert workload(manifest("PersistentVolumeClaim", claim)) == Workload(least=1, most=1, storage_gib=20)
    stateful = manifest("StatefulSet", {"replicas": 3, "volumeClaimTemplates": [{"spec": claim}], **pod()})
    assert (workload(stateful).pods, workload(stateful).storage_gib) == (3, 20)


def test_what_is_not_counted_is_named() -> None:
    said = requested(
        [
            ("file", manifest("CronJob", {})),
            ("file", manifest("ConfigMap", {})),
            ("file", manifest("Deployment", {"template": {"spec": {"containers": [{"name": "app"}]}}})),
            ("file", manifest("HorizontalPodAutoscaler", {"scaleTargetRef": {"kind": "Rollout", "name": "api"}})),
        ]
    )
    assert said.notes == (
        "Deployment checkout has no requests for CPU: what it uses is not known",
        "an autoscaler of Rollout api, which is not among the manifests, is not counted",
        "1 jobs: no standing cost",
        "not counted: ConfigMap (1)",
    )


def test_a_folder_is_read_with_its_lists_and_only_what_changed_is_paired(tmp_path: Path) -> None:
    for side, replicas in (("before", 2), ("after", 5)):
        (tmp_path / side / "deep").mkdir(parents=True)
        items = [manifest("Deployment", {"replicas": replicas, **pod()}), manifest("Deployment", pod(), "same")]
        (tmp_path / side / "deep" / "all.yaml").write_text(yaml.safe_dump({"kind": "List", "items": items}))
        (tmp_path / side / "more.yml").write_text("---\n---\nkind: Service\n")
    before, after = (read_folder(tmp_path / side, 1) for side in ("before", "after"))
    ((was, now),) = pairs_of(before, after)
    assert was is not None
    assert now is not None
    assert (was.least, now.least) == (2, 5)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: {{ .Values.replicas }}\nb: [", "is not YAML"),
        ("!!python/object/apply:os.system [ls]", "is not YAML"),
        ("[" * 5000, "is not YAML"),
        (yaml.safe_dump(manifest("Deployment", pod(cpu="much"))), "'much' is no quantity"),
        (yaml.safe_dump(manifest("Deployment", {"replicas": -1, **pod()})), "'-1' is no quantity"),
        (yaml.safe_dump_all([manifest("Deployment", pod())] * 2), "Deployment checkout is there twice"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_file(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "broken.yaml").write_text(text)
    with pytest.raises(BadInput, match=why) as refused:
        read_folder(tmp_path, 1)
    assert refused.value.faults[0].field == str(tmp_path / "broken.yaml")


def test_a_folder_without_manifests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no manifests"):
        read_folder(tmp_path, 1)


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["kind", "metadata", "spec", "template", "containers", "resources", "requests", "cpu", "metrics"]),
    inner,
), max_leaves=20))  # fmt: skip
def test_manifests_of_any_shape_are_read_or_refused(spec: object) -> None:
    for kind in ("Deployment", "StatefulSet", "DaemonSet", "HorizontalPodAutoscaler", "PersistentVolumeClaim"):
        with suppress(BadInput):
            requested([("file", {"kind": kind, "metadata": spec, "spec": spec})])

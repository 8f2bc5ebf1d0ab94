"""The gate as Flagger, Datadog and Kayenta ask it, with their own bodies and clients."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from afdp_exporter.model import Outcome, Status, Strategy
from afdp_exporter.store.sqlite import SQLiteStore
from gated import ENFORCED, deployment, impact
from remembering import remember

HOOKS = ("confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion")
CANARY = {"name": "checkout", "namespace": "shop", "phase": "Progressing", "checksum": "85d557f47b", "metadata": {}}
TOKENS = {"tokens": [{"name": "gate", "token": "canary-gate", "scopes": ["gate"]}]}


def running(**words: Any) -> Any:  # noqa: ANN401
    return replace(
        deployment(), status=Status.STARTED, finished_at=None, strategy=Strategy.CANARY, traffic_ratio=0.05, **words
    )


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.DEGRADATION, Outcome.FAILURE])
async def test_flagger_goes_on_waits_and_goes_back_by_its_hook(
    start: Callable[..., Any], store: SQLiteStore, outcome: Outcome
) -> None:
    client = await start(**ENFORCED, **TOKENS)
    await remember(store, running(), impact(outcome))
    for hook in HOOKS[1:]:
        async with client.post(f"/webhooks/flagger/{hook}/canary-gate", json=CANARY) as answer:
            assert answer.status == (200 if outcome is Outcome.SUCCESS else 403), hook
            assert await answer.text()
    async with client.post("/webhooks/flagger/rollback/canary-gate", json=CANARY) as answer:
        assert answer.status == (200 if outcome is Outcome.FAILURE else 403)


async def test_flagger_is_let_in_by_its_token_alone_and_the_log_does_not_hold_it(
    start: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    client = await start(**TOKENS)
    async with client.post("/webhooks/flagger/rollout/canary-wrong-one", json=CANARY) as answer:
        assert answer.status == 401
    async with client.post("/webhooks/flagger/later/canary-gate", json=CANARY) as answer:
        assert answer.status == 404
        assert "canary-gate" not in await answer.text()
    said = capsys.readouterr()
    assert "canary-wrong-one" not in said.out + said.err
    assert "canary-gate" not in said.out + said.err


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Outcome.SUCCESS, "pass"), (Outcome.DEGRADATION, "in_progress"), (Outcome.FAILURE, "fail")],
)
async def test_datadogs_gate_is_begun_and_asked_again(
    start: Callable[..., Any],
    store: SQLiteStore,
    wait: Callable[[timedelta], Any],
    outcome: Outcome,
    status: str,
) -> None:
    client = await start(**ENFORCED, **TOKENS)
    await remember(store, running(), impact(outcome))
    keys = {"DD-API-KEY": "any", "DD-APPLICATION-KEY": "canary-gate"}
    attributes = {"service": "checkout", "env": "production", "version": "v2"}
    body = {"data": {"type": "deployment_gates_evaluation_request", "attributes": attributes}}
    path = "/api/v2/deployments/gates/evaluation"
    async with client.post(path, json=body, headers=keys) as answer:
        assert answer.status == 202
        assert answer.content_type == "application/vnd.api+json"
        identity = (await answer.json(content_type=None))["data"]["id"]
    async with client.get(f"{path}/{identity}", headers=keys) as answer:
        found = (await answer.json(content_type=None))["data"]["attributes"]
    assert found["gate_status"] == status
    assert all(rule["reason"] for rule in found["rules"])
    wait(timedelta(hours=2))
    async with client.get(f"{path}/{identity}", headers=keys) as answer:
        later = (await answer.json(content_type=None))["data"]["attributes"]["gate_status"]
    assert later == ("fail" if status == "in_progress" else status)
    async with client.get(f"{path}/00000000-0000-4000-8000-000000000000", headers=keys) as answer:
        assert answer.status == 404


async def test_datadogs_questions_about_two_primary_tags_are_two_however_the_client_calls_them(
    start: Callable[..., Any],
) -> None:
    client, found = await start(), dict[str, str]()
    for tag in ({}, {"primary_tag": "zone:a"}, {"apm_primary_tag": "zone:a"}, {"primary_tag": "zone:b"}):
        attributes = {"service": "checkout", "env": "production", **tag}
        body = {"data": {"type": "deployment_gates_evaluation_request", "attributes": attributes}}
        async with client.post("/api/v2/deployments/gates/evaluation", json=body) as answer:
            assert answer.status == 202
            found[str(tag)] = (await answer.json(content_type=None))["data"]["id"]
    plain, spec, cli, other = found.values()
    assert spec == cli
    assert len({plain, spec, other}) == 3


async def test_datadogs_question_without_an_environment_is_refused(start: Callable[..., Any]) -> None:
    client = await start()
    body = {"data": {"type": "deployment_gates_evaluation_request", "attributes": {"service": "checkout", "env": ""}}}
    async with client.post("/api/v2/deployments/gates/evaluation", json=body) as answer:
        assert answer.status == 400
        (error,) = (await answer.json(content_type="application/vnd.api+json"))["errors"]
        assert "env" in error["detail"]


async def test_datadogs_evaluation_that_has_ended_begins_anew(
    start: Callable[..., Any], store: SQLiteStore, wait: Callable[[timedelta], Any]
) -> None:
    client = await start(**ENFORCED)
    await remember(store, running(), impact(Outcome.DEGRADATION))
    attributes = {"service": "checkout", "env": "production", "version": "v2"}
    body = {"data": {"type": "deployment_gates_evaluation_request", "attributes": attributes}}
    path = "/api/v2/deployments/gates/evaluation"
    for _ in range(2):
        async with client.post(path, json=body) as answer:
            identity = (await answer.json(content_type=None))["data"]["id"]
        async with client.get(f"{path}/{identity}") as answer:
            assert (await answer.json(content_type=None))["data"]["attributes"]["gate_status"] == "in_progress"
        wait(timedelta(hours=2))


def kayenta(shift: float, *, critical: bool = False) -> str:
    """A request as Kayenta writes it, with a NaN that is no JSON."""
    chance = np.random.default_rng(3)
    control, experiment = (
        ", ".join(map(str, chance.normal(level, 10, 60).tolist())) for level in (200.0, 200.0 + shift)
    )
    settings = f'{{"canary": {{"direction": "increase", "critical": {str(critical).lower()}}}}}'
    return f"""{{
      "canaryConfig": {{"name": "c", "judge": {{"name": "RemoteJudge-v1.0", "judgeConfigurations": {{}}}},
        "metrics": [{{"name": "latency", "groups": ["speed"], "analysisConfigurations": {settings}, "scopeName": "d"}}],
        "classifier": {{"groupWeights": {{"speed": 100.0}}}}}},
      "scoreThresholds": {{"pass": 75, "marginal": 50}},
      "metricSetPairList": [{{"name": "latency", "id": "a-1", "tags": {{"zone": "b"}},
        "values": {{"control": [{control}], "experiment": [NaN, "NaN", {experiment}]}},
        "scopes": {{}}, "attributes": {{}}}}]
    }}"""


@pytest.mark.parametrize(
    ("shift", "critical", "classification", "verdict"),
    [(0.0, False, "Pass", "Pass"), (60.0, False, "High", "Fail"), (60.0, True, "High", "Fail")],
)
async def test_kayentas_pairs_are_judged_by_their_ids(
    start: Callable[..., Any], shift: float, critical: bool, classification: str, verdict: str
) -> None:
    client = await start()
    headers = {"Content-Type": "application/json"}
    async with client.post("/judge", data=kayenta(shift, critical=critical), headers=headers) as answer:
        assert answer.status == 200
        found = await answer.json()
    (result,) = found["results"]
    assert (result["id"], result["tags"]) == ("a-1", {"zone": "b"})
    assert result["classification"] == classification
    assert found["judgeName"] == "RemoteJudge-v1.0"
    assert found["score"]["classification"] == verdict
    assert [group["name"] for group in found["groupScores"]] == ["speed"]


async def test_what_kayenta_leaves_empty_is_null_and_counts_as_left_out(start: Callable[..., Any]) -> None:
    client = await start()
    canary = {"direction": "increase", "critical": None, "mustHaveData": None, "nanStrategy": None, "effectSize": None}
    body = {
        "canaryConfig": {
            "metrics": [{"name": "x", "groups": None, "analysisConfigurations": {"canary": canary}}],
            "classifier": {"groupWeights": None},
        },
        "scoreThresholds": {"pass": 75, "marginal": None},
        "metricSetPairList": [
            {"name": "x", "id": "1", "tags": None, "values": {"control": [1.0] * 60, "experiment": None}},
            {"name": "y", "id": "2", "tags": {}, "values": {"control": [None, 1.0], "experiment": ["NaN", 1.0]}},
        ],
    }
    async with client.post("/judge", json=body) as answer:
        assert answer.status == 200, await answer.text()
        assert [each["id"] for each in (await answer.json())["results"]] == ["1", "2"]


async def test_kayenta_without_data_has_no_score(start: Callable[..., Any]) -> None:
    client = await start()
    body = {
        "canaryConfig": {
            "metrics": [
                {"name": "x", "analysisConfigurations": {"canary": {"direction": "either", "mustHaveData": True}}}
            ]
        },
        "scoreThresholds": {"pass": 75, "marginal": 50},
        "metricSetPairList": [{"name": "x", "id": "1", "tags": {}, "values": {"control": [], "experiment": []}}],
    }
    async with client.post("/judge", json=body) as answer:
        found = await answer.json()
    assert found["score"]["classification"] == "Nodata"


VALUES = {
    "good": {"control": [1.0, 2.0] * 30, "experiment": [2.0, 1.0] * 30},
    "bad": {"control": [1.0, 1.1] * 30, "experiment": [9.0, 9.1] * 30},
    "silent": {"control": [1.0, 1.1] * 30, "experiment": []},
    "few": {"control": [1.0, 1.1], "experiment": [1.1, 1.0]},
    "endless": {"control": [1.0, 1.1] * 30, "experiment": [1e308] * 60},
}


@pytest.mark.parametrize(
    ("metrics", "weights", "classifications", "scored"),
    [
        ([("good", {}), ("silent", {"mustHaveData": True})], {}, ["Pass", "NodataFailMetric"], (50.0, "Marginal")),
        ([("good", {}), ("silent", {"critical": True})], {}, ["Pass", "Nodata"], (0.0, "Fail")),
        ([("good", {}), ("silent", {})], {}, ["Pass", "Nodata"], (0.0, "Fail")),
        ([("good", {}), ("good", {}), ("silent", {})], {}, ["Pass", "Pass", "Nodata"], (100.0, "Pass")),
        ([("good", {}), ("good", {}), ("silent", {})], {"2": 80}, ["Pass", "Pass", "Nodata"], (100.0, "Pass")),
        ([("silent", {"nanStrategy": "replace"}), ("good", {})], {}, ["Pass", "Pass"], (100.0, "Pass")),
        ([("few", {"mustHaveData": True}), ("good", {})], {}, ["Pass", "Pass"], (100.0, "Pass")),
        ([("good", {}), ("bad", {})], {"0": 40}, ["Pass", "High"], (40.0, "Fail")),
        ([("good", {}), ("good", {}), ("endless", {})], {}, ["Pass", "Pass", "Nodata"], (100.0, "Pass")),
    ],
)  # fmt: skip
async def test_a_silent_canary_is_scored_as_by_kayentas_own_judge(
    start: Callable[..., Any],
    metrics: list[tuple[str, dict[str, Any]]],
    weights: dict[str, float],
    classifications: list[str],
    scored: tuple[float, str],
) -> None:
    client = await start()
    body = {
        "canaryConfig": {
            "metrics": [
                {"name": f"m{n}", "groups": [str(n)], "analysisConfigurations": {"canary": how}}
                for n, (_, how) in enumerate(metrics)
            ],
            "classifier": {"groupWeights": weights},
        },
        "scoreThresholds": {"pass": 75, "marginal": 50},
        "metricSetPairList": [
            {"name": f"m{n}", "id": str(n), "values": VALUES[kind]} for n, (kind, _) in enumerate(metrics)
        ],
    }  # fmt: skip
    async with client.post("/judge", json=body) as answer:
        assert answer.status == 200, await answer.text()
        found = await answer.json()
    assert [each["classification"] for each in found["results"]] == classifications
    assert (found["score"]["score"], found["score"]["classification"]) == scored

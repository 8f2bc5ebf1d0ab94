"""Where the way back is closed, nothing is written, and it is said why."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from afdp_exporter.errors import ActionRefused, ActionUnknown
from afdp_exporter.executors import Order
from afdp_exporter.settings import build
from executors.aws_targets import CodeDeployTarget
from executors.targets import (
    ArgoCDTarget,
    FlagsmithTarget,
    FluxTarget,
    KubernetesTarget,
    LaunchDarklyTarget,
    RolloutTarget,
    Target,
    UnleashTarget,
)
from executors.test_programs import HELM, ORDER
from loopback import Serve

FLAG = replace(ORDER, traits={"flag": "new-cart"})
SHOP = {"namespace": "shop"}


def runs_v2_alone(target: KubernetesTarget) -> None:
    target.sets = target.sets[2:]


def ran_v2_before_as_well(target: KubernetesTarget) -> None:
    target.sets[1]["spec"]["template"] = target.sets[2]["spec"]["template"]


def put(value: object, *keys: Any) -> Callable[[Target], None]:  # noqa: ANN401 - a key of any container
    """A change of one place of the state."""

    def change(target: Any) -> None:  # noqa: ANN401
        place = target.state
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


RUNNING = put("Running", "status", "operationState", "phase")
AUTOMATED = put({"automated": {}}, "spec", "syncPolicy")
CLOSED = (
    ("kubernetes", KubernetesTarget, SHOP, runs_v2_alone, "no earlier revision of v1"),
    ("kubernetes", KubernetesTarget, SHOP, ran_v2_before_as_well, "no earlier revision of v1"),
    ("argo_rollouts", RolloutTarget, SHOP, put(None, "status", "stableRS"), "no stable version yet"),
    ("argo_rollouts", RolloutTarget, SHOP, put({}, "spec", "workloadRef"), "from a Deployment"),
    ("argo_rollouts", RolloutTarget, SHOP, put([], "spec", "template", "spec", "containers"), "does not run v2"),
    ("argocd", ArgoCDTarget, {}, AUTOMATED, "is synced automatically"),
    ("argocd", ArgoCDTarget, {}, RUNNING, "another operation is in progress"),
    ("argocd", ArgoCDTarget, {}, put([], "status", "history"), "has no history"),
    ("argocd", ArgoCDTarget, {}, put(["shop/checkout:v3"], "status", "summary", "images"), "does not run v2"),
    ("argocd", ArgoCDTarget, {}, put([{"id": 1, "revision": "2"}], "status", "history"), "no earlier revision"),
    ("flux", FluxTarget, SHOP | {"chart_version": True}, put({}, "status"), "does not run v2 but nothing"),
    (
        "flux",
        FluxTarget,
        SHOP | {"chart_version": True},
        put({"history": [{"chartVersion": "2"}, {"chartVersion": "2"}]}, "status"),
        "has no earlier version",
    ),
    ("launchdarkly", LaunchDarklyTarget, {}, put({}, "environments"), "has no environment production"),
    ("unleash", UnleashTarget, {}, put([], "environments"), "no environment production"),
    ("flagsmith", FlagsmithTarget, {"environment_key": "key"}, put({"name": "other"}, "feature"), "new-cart"),
)


@pytest.mark.parametrize(
    ("kind", "target", "settings", "closed", "reason"), CLOSED, ids=[f"{row[0]}: {row[4]}" for row in CLOSED]
)
async def test_a_closed_way_back_is_refused_before_anything_is_written(
    kind: str, target: type[Target], settings: dict[str, Any], closed: Callable[[Target], None], reason: str
) -> None:
    made = target()
    url = await made.start()
    try:
        closed(made)
        with pytest.raises(ActionRefused, match=reason):
            await build("executors", kind, {"url": url, **settings}, "rollback[0]").check(FLAG)
        assert not made.writes
    finally:
        await made.stop()


@pytest.mark.parametrize("kind", ["launchdarkly", "unleash", "flagsmith"])
async def test_a_flag_that_nobody_names_is_refused(kind: str) -> None:
    key = {"environment_key": "key"} if kind == "flagsmith" else {}
    executor = build("executors", kind, {"url": "http://127.0.0.1:1", **key}, "rollback[0]")
    with pytest.raises(ActionRefused, match="no trait `flag`"):
        await executor.check(ORDER)


GOOD = {"revision": 1, "status": "superseded", "app_version": "v1", "description": "Install complete"}
BAD = {"revision": 2, "status": "deployed", "app_version": "v2", "description": "Upgrade complete"}


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        ([], "has no history"),
        ([GOOD, BAD | {"status": "pending-upgrade"}], "another operation of the release is under way"),
        ([GOOD, BAD | {"app_version": "v3"}], "does not run v2 but v3"),
        ([BAD], "no earlier revision"),
    ],
)
async def test_a_release_that_stands_otherwise_is_refused(
    tmp_path: Path, history: list[dict[str, Any]], reason: str
) -> None:
    known, program = tmp_path / "history.json", tmp_path / "helm"
    known.write_bytes(orjson.dumps(history))
    program.write_text(HELM.format(python=sys.executable, history=str(known)))
    program.chmod(0o755)
    with pytest.raises(ActionRefused, match=reason):
        await build("executors", "helm", {"program": str(program), "namespace": "shop"}, "").check(ORDER)


@pytest.mark.parametrize("status", [401, 403, 503])
async def test_a_target_whose_door_is_shut_now_can_be_read_later(serve: Serve, status: int) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"message": "the token is not valid any more"}, status=status)

    executor = build("executors", "kubernetes", {"url": await serve(refuse), **SHOP}, "")
    with pytest.raises(ActionUnknown, match="the token is not valid any more"):
        await executor.check(ORDER)


async def test_the_newest_of_many_deployments_is_found_in_whatever_order_they_are_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "secret")
    made = CodeDeployTarget()
    newest = made.deployments.pop("d-NEW")
    old = made.deployments["d-OLD"]
    made.deployments = {f"d-{n}": old | {"deploymentId": f"d-{n}"} for n in range(30)} | {"d-NEW": newest}
    block = {"url": await made.start(), "region": "eu-west-1"}
    plan = await build("executors", "codedeploy", block, "").check(ORDER)
    assert plan.seen["deployment"] == "d-NEW"
    await made.stop()


def sources(number: int) -> dict[str, Any]:
    """What Argo CD keeps of a deployment from two repositories."""
    return {"id": number, "revision": "", "revisions": [f"{number}" * 7 + "aaaa", "chart-1.0.0"]}


async def test_an_application_of_several_sources_goes_back_by_their_revisions() -> None:
    made = ArgoCDTarget()
    made.state["status"]["history"] = [sources(1), sources(2)]
    executor = build("executors", "argocd", {"url": await made.start()}, "")
    plan = await executor.check(ORDER)
    assert (plan.seen["target"], "1111111aaaa, chart-1.0.0" in plan.sentence) == (1, True)
    assert await executor.verify(plan) is False
    made.state["status"]["history"].append({**sources(1), "id": 3})
    assert await executor.verify(plan)
    await made.stop()


async def test_another_revision_than_the_one_to_return_to_is_none_to_return_to() -> None:
    made = ArgoCDTarget()
    executor = build("executors", "argocd", {"url": await made.start()}, "")
    order = replace(ORDER, version="2222222", previous_version="1111111")
    assert (await executor.check(order)).seen["target"] == 0
    with pytest.raises(ActionRefused, match="no revision 3333333 in its history"):
        await executor.check(replace(order, previous_version="3333333"))
    await made.stop()


async def test_a_chart_of_a_version_with_a_hyphen_is_that_version(tmp_path: Path) -> None:
    known, program = tmp_path / "history.json", tmp_path / "helm"
    good, bad = ({**each, "app_version": "", "chart": f"checkout-{each['app_version']}-rc.1"} for each in (GOOD, BAD))
    known.write_bytes(orjson.dumps([good, bad]))
    program.write_text(HELM.format(python=sys.executable, history=str(known)))
    program.chmod(0o755)
    order = replace(ORDER, version="2-rc.1", previous_version="v1-rc.1")
    plan = await build("executors", "helm", {"program": str(program), "namespace": "shop"}, "").check(order)
    assert plan.seen["target"] == 1


@pytest.mark.parametrize("secret", ["whsec_not base64", "whsec_abc"])
async def test_what_cannot_be_signed_was_surely_not_sent(secret: str) -> None:
    executor = build("executors", "webhook", {"url": "http://127.0.0.1:1", "secret": secret}, "")
    with pytest.raises(ActionRefused, match="nothing was sent"):
        await executor.apply(await executor.check(ORDER))


@pytest.mark.parametrize(
    ("words", "error", "reason"),
    [
        ("Error: release: not found", ActionRefused, "not found"),
        ("Error: Kubernetes cluster unreachable", ActionUnknown, "ended with 1"),
    ],
)
async def test_helm_that_fails_says_what_it_said(
    tmp_path: Path, words: str, error: type[Exception], reason: str
) -> None:
    program = tmp_path / "helm"
    program.write_text(f"#!{sys.executable}\nimport sys; sys.stderr.write({words!r}); sys.exit(1)\n")
    program.chmod(0o755)
    with pytest.raises(error, match=reason):
        await build("executors", "helm", {"program": str(program), "namespace": "shop"}, "").check(ORDER)


def ending(status: int) -> list[str]:
    """A program that ends with a status."""
    return [sys.executable, "-c", f"import sys; sys.stderr.write('because'); sys.exit({status})", "$service"]


def order_of(block: dict[str, Any]) -> Any:  # noqa: ANN401 - an executor
    return build("executors", "command", {"run": ending(0)} | block, "rollback[0]")


async def test_a_program_of_ones_own_may_close_the_way_back() -> None:
    assert (await order_of({"check_first": ending(0)}).check(ORDER)).request["command"][-1] == "checkout"
    with pytest.raises(ActionRefused, match="ended with 4: because"):
        await order_of({"check_first": ending(4)}).check(ORDER)


@pytest.mark.parametrize(("status", "back"), [(0, True), (3, False), (1, None)])
async def test_a_program_of_ones_own_says_whether_it_is_back(status: int, back: bool | None) -> None:
    executor = order_of({"verify_after": ending(status)})
    assert await executor.verify(await executor.check(ORDER)) is back


async def test_without_a_program_for_it_nobody_says_whether_it_is_back() -> None:
    executor = order_of({})
    order: Order = ORDER
    with pytest.raises(ActionUnknown, match="no program is configured"):
        await executor.verify(await executor.check(order))

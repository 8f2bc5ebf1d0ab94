"""Every executor through one table: once, twice, stale, refused, unknown, dry; and what each must not touch."""

import asyncio
import importlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from afdp_exporter.errors import ActionRefused, ActionUnknown
from afdp_exporter.executors import Executor, Order, Plan, Scope
from afdp_exporter.settings import build, kinds
from executors.aws_targets import (
    AppConfigCompleteTarget,
    AppConfigTarget,
    CodeDeployTarget,
    ECSEndedTarget,
    ECSTarget,
    LambdaPromotedTarget,
    LambdaTarget,
)
from executors.targets import (
    ArgoCDTarget,
    FlagsmithTarget,
    FluxTarget,
    HookTarget,
    KubernetesTarget,
    LaunchDarklyTarget,
    RolloutTarget,
    SwarmTarget,
    Target,
    UnleashTarget,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ORDER = Order(
    deployment_id="d2", service="checkout", environment="production", at=NOON, version="v2", previous_version="v1",
    traits={"flag": "new-cart"},
)  # fmt: skip


SECRET = "canary-secret"


@dataclass(frozen=True)
class Row:
    kind: str
    target: type[Target]
    settings: dict[str, Any]
    conditional: bool = True  # whether the target itself refuses a request that is stale
    notices: bool = True  # whether a second check sees that it was done


AWS = {"region": "eu-west-1", "timeout": "2s"}
TABLE = (
    Row("kubernetes", KubernetesTarget, {"namespace": "shop"}),
    Row("argo_rollouts", RolloutTarget, {"namespace": "shop"}),
    Row("argocd", ArgoCDTarget, {}),
    Row("flux", FluxTarget, {"namespace": "shop"}),
    Row("swarm", SwarmTarget, {}),
    Row("launchdarkly", LaunchDarklyTarget, {}, conditional=False),
    Row("unleash", UnleashTarget, {}, conditional=False),
    Row("flagsmith", FlagsmithTarget, {"environment_key": "key"}, conditional=False),
    Row("webhook", HookTarget, {}, conditional=False, notices=False),
    Row("ecs", ECSTarget, AWS),
    Row("ecs", ECSEndedTarget, AWS),
    Row("codedeploy", CodeDeployTarget, AWS),
    Row("lambda", LambdaTarget, AWS),
    Row("lambda", LambdaPromotedTarget, AWS),
    Row("appconfig", AppConfigTarget, AWS),
    Row("appconfig", AppConfigCompleteTarget, AWS),
)
LAMBDA = {
    "service": "lambda",
    "operation": "UpdateAlias",
    "params": {"FunctionName": "checkout", "Name": "production", "FunctionVersion": "1", "RevisionId": "r1"},
}
PROGRAMS = {"helm", "command"}  # tested with real programs in test_programs.py


@pytest.fixture(params=TABLE, ids=lambda row: row.target.__name__)
async def row(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Row, Any, Executor]]:
    """A target that stands as it should, and its executor."""
    chosen: Row = request.param
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    target = chosen.target()
    url = await target.start()
    if chosen.kind == "swarm":
        url = url.replace("http://", "tcp://")
    executor = build("executors", chosen.kind, {"url": url, **chosen.settings}, "rollback[0]")
    yield chosen, target, executor
    await target.stop()


def test_every_kind_is_in_the_table() -> None:
    assert {row.kind for row in TABLE} | PROGRAMS == set(kinds("executors"))


@pytest.mark.parametrize("kind", kinds("executors"))
def test_every_setting_of_a_kind_can_be_configured(kind: str) -> None:
    plugin = importlib.import_module(f"afdp_exporter.executors.{kind}").PLUGIN
    settings = {each.name for each in fields(plugin)}
    assert not settings & {"name", "kind", *(each.name for each in fields(Scope))}  # which the block itself takes


async def test_once_it_returns_and_shows_it(row: tuple[Row, Any, Executor]) -> None:
    chosen, target, executor = row
    plan = await executor.check(ORDER)
    assert not target.writes
    assert not plan.done
    await executor.apply(plan)
    assert len(target.writes) == 1
    assert target.returned()
    if chosen.notices:
        assert await executor.verify(plan)
    else:
        with pytest.raises(ActionUnknown):
            await executor.verify(plan)


async def test_twice_it_is_not_done_again(row: tuple[Row, Any, Executor]) -> None:
    chosen, target, executor = row
    if not chosen.notices:
        pytest.skip("a receiver of our own has to refuse a second by its id")
    await executor.apply(await executor.check(ORDER))
    try:
        again = await executor.check(ORDER)
    except ActionRefused:
        pass
    else:
        assert again.done
    assert len(target.writes) == 1
    assert target.returned()


async def test_a_stale_request_changes_nothing(row: tuple[Row, Any, Executor]) -> None:
    chosen, target, executor = row
    if not chosen.conditional:
        pytest.skip("what is switched off needs no condition")
    plan = await executor.check(ORDER)
    target.change()
    with pytest.raises(ActionRefused):
        await executor.apply(plan)
    assert not target.returned()


async def test_a_refusal_is_no_doubt_and_an_error_is_one(row: tuple[Row, Any, Executor]) -> None:
    _, target, executor = row
    plan = await executor.check(ORDER)
    target.fail = "refused"
    with pytest.raises(ActionRefused):
        await executor.apply(plan)
    target.fail = "error"
    with pytest.raises(ActionUnknown):
        await executor.apply(plan)
    assert not target.returned()


async def test_a_target_that_is_away_can_be_read_later(row: tuple[Row, Any, Executor]) -> None:
    chosen, target, executor = row
    plan = await executor.check(ORDER)
    await target.stop()
    if chosen.notices:
        with pytest.raises(ActionUnknown):
            await executor.check(ORDER)
    with pytest.raises(ActionUnknown):
        await executor.apply(plan)


async def test_a_plan_that_was_kept_shows_after_a_crash_whether_it_was_carried_out(
    row: tuple[Row, Any, Executor],
) -> None:
    chosen, target, executor = row
    plan = await executor.check(ORDER)
    request, seen = orjson.loads(orjson.dumps([plan.request, plan.seen]))
    kept = Plan(order=ORDER, sentence=plan.sentence, request=request, seen=seen)
    if not chosen.notices:
        pytest.skip("nothing can be read there")
    assert await executor.verify(kept) is False
    target.fail = "hang"
    calling = asyncio.create_task(executor.apply(plan))
    await target.called.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert await executor.verify(kept) is not False
    target.hung.set()


async def test_a_target_that_never_answers_leaves_unknown_what_it_did_and_is_called_once(
    row: tuple[Row, Any, Executor],
) -> None:
    chosen, target, executor = row
    if chosen.kind == "swarm":
        pytest.skip("its library waits for five minutes")
    impatient = replace(executor, timeout=timedelta(milliseconds=200))  # type: ignore[type-var]
    plan = await impatient.check(ORDER)
    target.fail = "hang"
    with pytest.raises(ActionUnknown) as raised:
        await impatient.apply(plan)
    assert SECRET not in f"{raised.value}{plan}{executor}"
    assert len(target.writes) == 1


async def test_a_dry_run_keeps_the_very_request_that_is_sent(row: tuple[Row, Any, Executor]) -> None:
    _, target, executor = row
    plan = await executor.check(ORDER)
    assert not target.writes
    assert SECRET not in f"{plan}"
    await executor.apply(plan)
    ((method, path, body),) = target.writes
    asked = dict(plan.request)
    if "operation" in asked:
        assert method == asked["operation"]
        sent = asked["params"]
        assert all(str(body[name]) == str(sent[name]) or name == "AllowRevert" for name in sent.keys() & body.keys())
        return
    assert method == asked["method"]
    assert path.partition("?")[0].endswith(asked["path"])
    assert body == asked.get("body")


async def test_another_version_is_left_alone(row: tuple[Row, Any, Executor]) -> None:
    chosen, target, executor = row
    if chosen.kind in {"flux", "launchdarkly", "unleash", "flagsmith", "webhook"}:
        pytest.skip("it knows no version")
    with pytest.raises(ActionRefused, match="v9"):
        await executor.check(replace(ORDER, version="v9"))
    assert not target.writes


async def test_aws_refuses_what_it_cannot_sign_and_says_nothing_of_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    target = LambdaTarget()
    url = await target.start()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    executor = build("executors", "lambda", {"url": url, **AWS}, "")
    with pytest.raises(ActionUnknown, match="NoCredentialsError"):
        await executor.check(ORDER)
    with pytest.raises(ActionRefused, match="nothing was sent"):
        await executor.apply(Plan(order=ORDER, sentence="", request=LAMBDA))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    target.fail, target.refusal = "refused", "SignatureDoesNotMatch"  # which quotes the headers that were signed
    target.words = f"The canonical string should have been x-amz-security-token:{SECRET}"
    with pytest.raises(ActionRefused, match="SignatureDoesNotMatch") as raised:
        await build("executors", "lambda", {"url": url, **AWS}, "").apply(
            Plan(order=ORDER, sentence="", request=LAMBDA)
        )
    assert SECRET not in str(raised.value)
    await target.stop()


@pytest.mark.parametrize("service", ["../admin", "a/b", "", "x y", "checkout\n"])
async def test_a_hostile_name_never_reaches_a_path(row: tuple[Row, Any, Executor], service: str) -> None:
    chosen, target, executor = row
    if chosen.kind in {"launchdarkly", "unleash", "flagsmith", "webhook"}:
        pytest.skip("the service is no part of its path")
    with pytest.raises(ActionRefused):
        await executor.check(replace(ORDER, service=service))
    assert not target.writes


async def test_what_gitops_manages_is_refused_by_default() -> None:
    target = KubernetesTarget()
    url = await target.start()
    target.state["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = "shop:apps/Deployment"
    executor = build("executors", "kubernetes", {"url": url, "namespace": "shop"}, "")
    with pytest.raises(ActionRefused, match="GitOps"):
        await executor.check(ORDER)
    allowed = build("executors", "kubernetes", {"url": url, "namespace": "shop", "gitops": True}, "")
    assert (await allowed.check(ORDER)).request
    target.state["spec"]["paused"] = True
    with pytest.raises(ActionRefused, match="paused"):
        await allowed.check(ORDER)
    await target.stop()


async def test_an_application_that_is_synced_automatically_is_refused() -> None:
    target = ArgoCDTarget()
    url = await target.start()
    target.state["spec"]["syncPolicy"] = {"automated": {"prune": True}}
    executor = build("executors", "argocd", {"url": url}, "")
    with pytest.raises(ActionRefused, match="automatically"):
        await executor.check(ORDER)
    target.state["spec"]["syncPolicy"] = {"automated": {"enabled": False}}
    assert (await executor.check(ORDER)).request["body"]["id"] == 0
    await target.stop()


async def test_the_request_of_an_undo_is_that_of_kubectl() -> None:
    target = KubernetesTarget()
    url = await target.start()
    executor = build("executors", "kubernetes", {"url": url, "namespace": "shop"}, "")
    plan = await executor.check(ORDER)
    test, replace_template, annotate = plan.request["body"]
    assert test == {"op": "test", "path": "/metadata/resourceVersion", "value": "100"}
    assert replace_template["value"]["spec"]["containers"][0]["image"] == "shop/checkout:v1"
    assert "pod-template-hash" not in replace_template["value"]["metadata"]["labels"]
    assert annotate["value"]["deployment.kubernetes.io/revision"] == "3"
    assert annotate["value"]["afdp.io/rolled-back"] == "d2"
    await target.stop()

"""What people paste to ask the gate: each template asked of a running exporter as its own tool asks it."""

import json
import re
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import tree_sitter_groovy
import yaml
from aiohttp import ClientSession
from jsonpath_ng import parse
from tree_sitter import Language, Parser

from afdp_exporter.config import read
from afdp_exporter.handlers.connections import listening
from afdp_exporter.model import Outcome
from afdp_exporter.server import make_app
from afdp_exporter.store.sqlite import SQLiteStore
from deploy.conftest import DEPLOY, Exporter, run
from executors.aws_targets import CodeDeployTarget
from gated import ENFORCED, NOON, deployment, impact
from remembering import remember

GATES = DEPLOY / "gates"
SCRIPT = GATES / "shell/afdp-gate.sh"
TOKEN = "canary-gate"
HOST = "http://afdp-exporter.monitoring:10333"
GOES_ON, WAITS, GOES_BACK = Outcome.SUCCESS, Outcome.DEGRADATION, Outcome.FAILURE
OUTCOMES = [GOES_ON, WAITS, GOES_BACK]
STATUS = {GOES_ON: 0, WAITS: 3, GOES_BACK: 4}


@pytest.fixture
async def judged(tmp_path: Path) -> AsyncIterator[Callable[[Outcome], Any]]:
    """An exporter whose gate knows what became of checkout v2, and that takes a token of the scope gate."""
    store = await SQLiteStore.open(tmp_path / "afdp.db")
    token = {"name": "gate", "token": TOKEN, "scopes": ["gate"]}
    config = read({**ENFORCED, "sources": [{"kind": "recording", "path": str(tmp_path)}], "tokens": [token]})
    app = make_app(config, store=store, clock=lambda: NOON)
    async with listening(app, [("127.0.0.1", 0)]) as (url,), ClientSession(url) as client:

        async def became(outcome: Outcome) -> Exporter:
            await remember(store, deployment(), impact(outcome))
            return Exporter(url, client)

        yield became
    await store.close()


def words(exporter: Exporter, **more: str) -> dict[str, str]:
    variables = {"AFDP_URL": exporter.url, "AFDP_TOKEN": TOKEN, "AFDP_SERVICE": "checkout", "AFDP_VERSION": "v2"}
    return variables | {"AFDP_GATE_SECONDS": "0"} | more


def jenkins() -> str:
    source = (GATES / "jenkins/vars/afdpGate.groovy").read_text()
    assert not Parser(Language(tree_sitter_groovy.language())).parse(source.encode()).root_node.has_error
    (shell,) = re.findall(r"'''(.*?)'''", source, re.DOTALL)
    return str(shell).replace("\\\\", "\\")  # as Groovy reads it


def circleci() -> str:
    content = yaml.safe_load((GATES / "circleci/config.yml").read_text())
    (step,) = content["jobs"]["afdp-gate"]["steps"]
    return f"CIRCLE_TAG=v2\n{step['run']['command']}"


def octopus() -> str:
    names = {
        "Afdp.Url": "$AFDP_URL", "Afdp.Token": "$AFDP_TOKEN", "Octopus.Project.Name": "checkout",
        "Octopus.Release.Number": "v2", "Octopus.Environment.Name": "production",
    }  # fmt: skip
    cases = "".join(f'"{name}") echo "{value}" ;;\n' for name, value in names.items())
    return f'get_octopusvariable() {{ case "$1" in\n{cases}esac; }}\n{(GATES / "octopus/afdp-gate.sh").read_text()}'


SHELLS = {"shell": SCRIPT.read_text, "jenkins": jenkins, "circleci": circleci, "octopus": octopus}


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("tool", SHELLS)
async def test_a_step_of_a_pipeline_ends_as_the_gate_says(
    judged: Callable[[Outcome], Any], tool: str, outcome: Outcome
) -> None:
    exporter = await judged(outcome)
    script = SHELLS[tool]()
    shells = ["sh", "-xec"] if tool == "jenkins" else ["bash", "-eo", "pipefail", "-c"]
    done = await run(*shells, script, env=words(exporter))
    assert done.code == STATUS[outcome], done.err
    assert "afdp: " in done.out
    assert TOKEN not in done.out + done.err


def test_every_step_is_the_same_script() -> None:
    plain = "".join(line for line in SCRIPT.read_text().splitlines(True) if not line.startswith("#"))
    for tool in ("jenkins", "circleci", "octopus"):
        assert all(line.strip() in SHELLS[tool]() for line in plain.splitlines()), tool


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"AFDP_TOKEN": "wrong"}, "refused the question"),
        ({"AFDP_PHASE": "later"}, "refused the question"),
        ({"AFDP_SERVICE": ""}, "AFDP_SERVICE is not set"),
        ({"AFDP_URL": ""}, "AFDP_URL is not set"),
        ({"AFDP_URL": "http://127.0.0.1:9"}, "no answer"),
    ],
)
async def test_a_gate_that_cannot_be_asked_fails_loudly_unless_it_may_be_passed(
    judged: Callable[[Outcome], Any], change: dict[str, str], said: str
) -> None:
    exporter = await judged(GOES_ON)
    for lenient, status in (({}, 1), ({"AFDP_ON_ERROR": "allow"}, 0)):
        done = await run("sh", SCRIPT, env=words(exporter) | change | lenient)
        assert (done.code, said in done.err) == (status, True)


async def test_the_scripts_are_clean() -> None:
    assert (await run("shellcheck", "--shell=sh", SCRIPT)).out == ""
    assert (await run("shellcheck", "--shell=bash", "--exclude=SC2154", GATES / "octopus/afdp-gate.sh")).out == ""


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_an_approval_of_harness_is_given_refused_or_waits(
    judged: Callable[[Outcome], Any], outcome: Outcome
) -> None:
    exporter = await judged(outcome)
    spec = yaml.safe_load((GATES / "harness/custom-approval.yml").read_text())["step"]["spec"]
    assert {each["name"] for each in spec["environmentVariables"]} == {
        "AFDP_URL", "AFDP_TOKEN", "AFDP_SERVICE", "AFDP_VERSION", "AFDP_ENVIRONMENT",
    }  # fmt: skip
    script = f'{spec["source"]["spec"]["script"]}\necho "verdict=$verdict"'
    done = await run("bash", "-c", script, env=words(exporter, AFDP_ENVIRONMENT="production"))
    output = done.out.rpartition("verdict=")[2].strip()

    def met(criteria: str) -> bool:
        return any(each["value"] == output for each in spec[criteria]["spec"]["conditions"])

    assert (met("approvalCriteria"), met("rejectionCriteria")) == (outcome is GOES_ON, outcome is GOES_BACK)


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_a_webhook_stage_of_spinnaker_succeeds_fails_or_goes_on_asking(
    judged: Callable[[Outcome], Any], outcome: Outcome
) -> None:
    exporter = await judged(outcome)
    stage = json.loads((GATES / "spinnaker/webhook-stage.json").read_text())
    url = stage["url"].replace("${execution.application}", "checkout").replace("${trigger.tag}", "v2")
    answer = await ask(exporter, url, {"Authorization": f"Bearer {TOKEN}"})
    (status,) = (each.value for each in parse(stage["statusJsonPath"]).find(answer))
    (progress,) = (each.value for each in parse(stage["progressJsonPath"]).find(answer))
    listed = [status in stage[name].split(",") for name in ("successStatuses", "terminalStatuses")]
    assert listed == [outcome is GOES_ON, outcome is GOES_BACK]
    assert isinstance(progress, str)


class HookTarget(CodeDeployTarget):
    """A deployment that waits for its lifecycle hook."""

    writing: ClassVar[set[str]] = {"PutLifecycleEventHookExecutionStatus"}

    def answer(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        assert operation == "PutLifecycleEventHookExecutionStatus"
        return {"lifecycleEventHookExecutionId": params["lifecycleEventHookExecutionId"]}

    def stale(self, params: dict[str, Any]) -> str | None:
        return None


LAMBDA = """
import sys
sys.path.insert(0, sys.argv[1])
import lifecycle_hook
class Context:
    def get_remaining_time_in_millis(self):
        return 0
print(lifecycle_hook.handler({"DeploymentId": "d-NEW", "LifecycleEventHookExecutionId": "h1"}, Context())["verdict"])
"""


@pytest.mark.parametrize(
    ("outcome", "change", "status"),
    [
        (GOES_ON, {}, "Succeeded"),
        (WAITS, {}, "Failed"),
        (GOES_BACK, {}, "Failed"),
        (GOES_ON, {"AFDP_TOKEN": "wrong"}, "Failed"),
        (GOES_ON, {"AFDP_URL": "http://127.0.0.1:9"}, "Failed"),
        (GOES_ON, {"AFDP_URL": "http://127.0.0.1:9", "AFDP_ON_ERROR": "allow"}, "Succeeded"),
    ],
)
async def test_a_lifecycle_hook_of_codedeploy_is_told_what_the_gate_says(
    judged: Callable[[Outcome], Any], outcome: Outcome, change: dict[str, str], status: str
) -> None:
    exporter, target = await judged(outcome), HookTarget()
    aws = {
        "AWS_ENDPOINT_URL_CODEDEPLOY": await target.start(), "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "canary-aws", "AWS_SECRET_ACCESS_KEY": "canary-aws",
    }  # fmt: skip
    done = await run(sys.executable, "-B", "-c", LAMBDA, GATES / "codedeploy", env={**words(exporter), **aws, **change})
    assert done.code == 0, done.err
    ((operation, _, params),) = target.writes
    assert (operation, params["deploymentId"], params["lifecycleEventHookExecutionId"], params["status"]) == (
        "PutLifecycleEventHookExecutionStatus", "d-NEW", "h1", status,
    )  # fmt: skip
    assert TOKEN not in done.out + done.err
    await target.stop()


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_an_analysis_of_argo_rollouts_passes_fails_or_is_inconclusive(
    judged: Callable[[Outcome], Any], outcome: Outcome
) -> None:
    exporter = await judged(outcome)
    spec = yaml.safe_load((GATES / "argo-rollouts/analysis-template.yml").read_text())["spec"]
    (metric,) = spec["metrics"]
    asked = metric["provider"]["web"]
    values = {"service": "checkout", "version": "v2", "environment": "production", "phase": "canary", "token": TOKEN}
    assert {each["name"] for each in spec["args"]} == set(values)

    def filled(text: str) -> str:
        return re.sub(r"{{args\.(\w+)}}", lambda found: values[found[1]], text)

    answer = await ask(
        exporter, filled(asked["url"]), {each["key"]: filled(each["value"]) for each in asked["headers"]}
    )
    assert asked["jsonPath"] == "{$.data}"
    verdict = answer["data"]["verdict"]
    assert says(metric["successCondition"], "result.verdict", verdict) is (outcome is GOES_ON)
    assert says(metric["failureCondition"], "result.verdict", verdict) is (outcome is GOES_BACK)


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_a_promotion_step_of_kargo_succeeds_fails_or_goes_on(
    judged: Callable[[Outcome], Any], outcome: Outcome
) -> None:
    exporter = await judged(outcome)
    (step,) = yaml.safe_load((GATES / "kargo/promotion-step.yml").read_text())
    config = step["config"]
    url = re.sub(r"\${{ imageFrom\(.*?\).Tag }}", "v2", config["url"])
    headers = {each["name"]: re.sub(r"\${{ secret.*? }}", TOKEN, each["value"]) for each in config["headers"]}
    verdict = (await ask(exporter, url, headers))["data"]["verdict"]
    refused, _, fails = config["failureExpression"].partition(" || ")
    assert says(config["successExpression"], "response.body?.data?.verdict", verdict) is (outcome is GOES_ON)
    assert says(fails, "response.body?.data?.verdict", verdict) is (outcome is GOES_BACK)
    assert step["retry"]["timeout"]
    for wrong, token in ((f"{url}&phase=later", TOKEN), (url, "wrong")):
        sent = {"Authorization": f"Bearer {token}"}
        async with exporter.client.get(wrong.removeprefix(HOST), headers=sent) as answer:
            assert says(refused, "response.status", str(answer.status))
            assert (await answer.json(content_type=None))["detail"]
    assert config["errorExpression"] == "response.body?.data?.reason ?? response.body?.detail"


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_a_chart_test_of_flux_passes_or_fails(judged: Callable[[Outcome], Any], outcome: Outcome) -> None:
    exporter = await judged(outcome)
    pod = yaml.safe_load((GATES / "flux/afdp-gate.yaml").read_text())
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (container,) = pod["spec"]["containers"]
    names = {"{{ .Release.Name }}": "checkout", "{{ .Chart.AppVersion }}": "v2", HOST: exporter.url, "10m": "0s"}
    args = container["args"]
    for name, value in names.items():
        args = [each.replace(name, value) for each in args]
    assert [each["name"] for each in container["env"]] == ["AFDP_TOKEN"]
    done = await run(sys.executable, "-m", "afdp_exporter", *args, env={"AFDP_TOKEN": TOKEN})
    assert done.code == STATUS[outcome], done.err


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_flaggers_hooks_are_answered_by_their_types(judged: Callable[[Outcome], Any], outcome: Outcome) -> None:
    exporter = await judged(outcome)
    canary = {"name": "checkout", "namespace": "shop", "phase": "Progressing", "checksum": "85d5", "metadata": {}}
    for hook in yaml.safe_load((GATES / "flagger/canary.yml").read_text())["webhooks"]:
        path = hook["url"].removeprefix(HOST).replace("TOKEN", TOKEN)
        assert path.split("/")[3] == hook["type"]
        async with exporter.client.post(path, json=canary) as answer:
            assert answer.status in {200, 403}, await answer.text()


async def ask(exporter: Exporter, url: str, headers: dict[str, str]) -> dict[str, Any]:
    """What the address of a template answers here."""
    assert url.startswith(HOST)
    async with exporter.client.get(url.removeprefix(HOST), headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


def says(expression: str, name: str, verdict: str) -> bool:
    """One of the few expressions that the templates use."""
    compared = re.fullmatch(rf"{re.escape(name)} == ['\"](\w+)['\"]", expression)
    if compared is not None:
        return compared[1] == verdict
    among = re.fullmatch(rf"{re.escape(name)} in \[(.*)\]", expression)
    assert among is not None, expression
    return verdict in re.findall(r"\w+", among[1])


def test_every_template_is_led_to() -> None:
    page = (DEPLOY / "README.md").read_text()
    assert [path for path in GATES.rglob("*.*") if str(path.relative_to(DEPLOY)) not in page] == []
    assert shutil.which("curl")

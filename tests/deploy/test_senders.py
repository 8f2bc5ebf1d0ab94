"""What people paste into their pipelines: run against a running exporter, as far as it can be run."""

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import hcl2
import pytest
import tree_sitter_groovy
import yaml
from tree_sitter import Language, Parser

from afdp_exporter.handlers.routes import ROUTES
from deploy.conftest import DEPLOY, TOKEN, Exporter, run

SENDERS = DEPLOY / "senders"
SCRIPT = SENDERS / "shell/afdp-deployment.sh"
HOSTILE = "a\"b\\c'd$(touch hacked)`touch hacked`;{}\n\té"  # what a commit message or a branch may be called
HOSTILE_TEXT = "a\"b\\c'd$(touch hacked)`touch hacked`;{}  é"
AWAY = "http://127.0.0.1:9"
SHELLS = [["sh"], ["bash", "--posix"], ["dash"]]


def ours(exporter: Exporter, **words: str) -> dict[str, str]:
    return {"AFDP_URL": exporter.url, "AFDP_TOKEN": TOKEN} | words


async def test_the_shell_script_is_clean() -> None:
    for script in (SCRIPT,):
        done = await run("shellcheck", "--shell=sh", script)
        assert done.out == ""


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shutil.which(shell[0])], ids=" ".join)
async def test_the_shell_script_reports_start_and_end(exporter: Exporter, tmp_path: Path, shell: list[str]) -> None:
    deployment = ours(exporter, AFDP_SERVICE="checkout", AFDP_ID="p-1", AFDP_VERSION="v2", AFDP_DESCRIPTION=HOSTILE)
    more = {"AFDP_CHANGE_TYPES": "code,database", "AFDP_TRAITS": '{"table_rows": 1200000}'}
    begun = await run(*shell, SCRIPT, env=deployment | more | {"AFDP_STATUS": "started"}, cwd=tmp_path)
    assert (begun.code, begun.out, begun.err) == (0, "afdp: told of checkout v2\n", "")
    first = await exporter.deployment("p-1")
    assert (first["status"], first["finished_at"]) == ("started", None)
    assert (first["change_types"], first["traits"]) == (["code", "database"], {"table_rows": 1200000})
    ended = await run(*shell, SCRIPT, env=deployment | {"AFDP_STATUS": "succeeded"}, cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    last = await exporter.deployment("p-1")
    assert last["status"] == "succeeded"
    assert last["finished_at"] is not None
    assert last["description"] == HOSTILE_TEXT
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"AFDP_URL": AWAY}, "not told: no answer"),
        ({"AFDP_TOKEN": "wrong"}, "refused with 401"),
        ({"AFDP_ID": "no id"}, "refused with 422"),
        ({"AFDP_SERVICE": ""}, "AFDP_SERVICE is not set"),
        ({"AFDP_URL": ""}, "AFDP_URL is not set"),
    ],
)
async def test_the_shell_script_never_fails_the_deploy_unless_asked(
    exporter: Exporter, change: dict[str, str], said: str
) -> None:
    deployment = ours(exporter, AFDP_SERVICE="checkout", AFDP_STATUS="started") | change
    lenient, strict = (
        await run("sh", SCRIPT, env=deployment),
        await run("sh", SCRIPT, env=deployment | {"AFDP_FAIL": "1"}),
    )
    assert (lenient.code, strict.code) == (0, 1)
    assert said in lenient.err
    assert TOKEN not in lenient.err + strict.err


async def test_the_one_liner_of_the_page_works_as_it_is(exporter: Exporter) -> None:
    page = (DEPLOY / "README.md").read_text()
    (line,) = re.findall(r"```sh\n(curl .*?)```", page, re.DOTALL)
    done = await run("sh", "-c", line, env={"AFDP_URL": exporter.url, "AFDP_TOKEN": TOKEN, "CI_PIPELINE_ID": "7"})
    assert done.code == 0, done.err
    assert (await exporter.deployment("pipeline-7"))["service"] == "checkout"


async def test_afdp_annotate_reports_start_and_end_and_knows_its_ci(exporter: Exporter) -> None:
    github = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_SHA": "c0ffee",
        "GITHUB_ACTOR": "ada",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_RUN_ID": "7",
    }
    command = ("afdp", "annotate", "--service", "checkout", "--id", "p-1", "--fail", "--status")
    for status in ("started", "succeeded"):
        done = await run(*command, status, env=ours(exporter) | github)
        assert done.code == 0, done.err
    deployment = await exporter.deployment("p-1")
    assert (deployment["status"], deployment["commit"], deployment["actor"]) == ("succeeded", "c0ffee", "ada")
    assert deployment["url"] == "https://github.com/o/r/actions/runs/7"
    assert deployment["finished_at"] is not None


def github_expression(text: str, inputs: dict[str, str]) -> str:
    """The few expressions that the action uses."""

    def value(match: re.Match[str]) -> str:
        found = {f"inputs.{name}": each for name, each in inputs.items()}
        found |= {"github.sha": "c0ffee", "github.actor": "ada", "github.server_url": "https://github.com"}
        found |= {"github.repository": "o/r", "github.run_id": "7"}
        return next((found[name.strip()] for name in match[1].split("||") if found[name.strip()]), "")

    return re.sub(r"\$\{\{(.+?)\}\}", value, text)


async def test_the_github_action_and_its_example_are_of_githubs_formats() -> None:
    action = await run("check-jsonschema", "--builtin-schema", "vendor.github-actions", SENDERS / "github/action.yml")
    assert action.code == 0, action.out
    flow = await run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", SENDERS / "github/workflow.yml")
    assert flow.code == 0, flow.out


async def test_the_github_action_reports_start_and_end(exporter: Exporter, tmp_path: Path) -> None:
    action = yaml.safe_load((SENDERS / "github/action.yml").read_text())
    (step,) = action["runs"]["steps"]
    assert "${{" not in step["run"]  # values reach the script through the environment only
    given = {"url": exporter.url, "token": TOKEN, "service": "check out/$(touch hacked)"}
    output = tmp_path / "output"
    for status in ("started", "failure"):
        inputs = {name: entry.get("default", "") for name, entry in action["inputs"].items()} | given
        inputs["status"] = status
        env = {name: github_expression(text, inputs) for name, text in step["env"].items()}
        env |= {"GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_OUTPUT": str(output)}
        env |= {"GITHUB_ACTION_PATH": str(SENDERS / "github")}
        done = await run("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"], env=env, cwd=tmp_path)
        assert done.code == 0, done.err
    deployment_id = "gha-7-1-check-out---touch-hacked--production"
    assert output.read_text().splitlines() == [f"deployment-id={deployment_id}"] * 2
    deployment = await exporter.deployment(deployment_id)
    assert (deployment["service"], deployment["status"], deployment["version"]) == (
        given["service"],
        "failed",
        "c0ffee",
    )
    assert deployment["url"] == "https://github.com/o/r/actions/runs/7"
    assert not (tmp_path / "hacked").exists()


GITLAB = {
    "CI_PROJECT_ID": "3",
    "CI_JOB_ID": "42",
    "CI_COMMIT_SHORT_SHA": "c0ffee",
    "CI_COMMIT_SHA": "c0ffee00",
    "CI_COMMIT_TAG": HOSTILE,
    "CI_JOB_URL": "https://gitlab.example.org/j/42",
    "GITLAB_USER_LOGIN": "ada",
    "CI_ENVIRONMENT_NAME": "production",
}


async def test_the_gitlab_component_reports_start_and_end(exporter: Exporter, tmp_path: Path) -> None:
    text = (SENDERS / "gitlab/templates/deployment.yml").read_text()
    spec, _ = yaml.safe_load_all(text)
    inputs = {"url": exporter.url, "service": "checkout"}
    inputs |= {name: entry["default"] for name, entry in spec["spec"]["inputs"].items() if "default" in entry}
    assert set(inputs) == set(spec["spec"]["inputs"])
    body = re.sub(r"\$\[\[ inputs\.(\w+) \]\]", lambda match: inputs[match[1]], text.split("\n---\n")[1])
    (tmp_path / "ci.yml").write_text(body + "\ndeploy: {extends: .afdp-deployment, script: [./deploy.sh]}\n")
    checked = await run("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", tmp_path / "ci.yml")
    assert checked.code == 0, checked.out
    job = yaml.safe_load(body)[".afdp-deployment"]
    env = {"AFDP_TOKEN": TOKEN} | job["variables"] | GITLAB
    for part, status in (("before_script", "started"), ("after_script", "failed")):
        done = await run("sh", "-ec", "\n".join(job[part]), env=env | {"CI_JOB_STATUS": "failed"}, cwd=tmp_path)
        assert (done.code, done.err) == (0, "")
        assert (await exporter.deployment("gitlab-3-42"))["status"] == status
    deployment = await exporter.deployment("gitlab-3-42")
    assert (deployment["version"], deployment["actor"], deployment["change_types"]) == (HOSTILE_TEXT, "ada", ["code"])
    away = await run("sh", "-ec", "\n".join(job["before_script"]), env=env | {"AFDP_URL": AWAY})
    assert (away.code, "not told" in away.err) == (0, True)


async def test_the_jenkins_step_is_groovy_and_its_shell_reports(exporter: Exporter) -> None:
    source = (SENDERS / "jenkins/vars/afdpDeployment.groovy").read_text()
    tree = Parser(Language(tree_sitter_groovy.language())).parse(source.encode())
    assert not tree.root_node.has_error
    (shell,) = re.findall(r"'''(.*?)'''", source, re.DOTALL)
    shell = shell.replace("\\\\", "\\")  # as Groovy reads it
    calls = [
        (
            "POST",
            "/api/v1/deployments",
            {"id": "j-1", "service": HOSTILE.split("\n", maxsplit=1)[0], "status": "started"},
        ),
        ("PATCH", "/api/v1/deployments/j-1", {"status": "failed"}),
    ]
    for method, path, body in calls:
        env = ours(exporter, AFDP_METHOD=method, AFDP_PATH=path, AFDP_BODY=json.dumps(body))
        done = await run("sh", "-xec", shell, env=env)
        assert done.code == 0
        assert "not told" not in done.err
        assert TOKEN not in done.out + done.err
    assert (await exporter.deployment("j-1"))["status"] == "failed"


async def test_the_terraform_example_reports_when_its_image_changes(exporter: Exporter, tmp_path: Path) -> None:
    source = SENDERS / "terraform/main.tf"
    assert "terraform_data" in json.dumps(hcl2.loads(source.read_text()))
    if shutil.which("terraform") is None:
        command = re.findall(r"<<-EOT\n(.*?)\n\s*EOT", source.read_text(), re.DOTALL)[0].replace("$${", "${")
        body = json.dumps({"service": "checkout", "version": "v2.1.0"})
        done = await run("sh", "-c", command, env=ours(exporter, AFDP_BODY=body))
    else:
        shutil.copy(source, tmp_path)
        env = {"AFDP_TOKEN": TOKEN, "TF_VAR_afdp_url": exporter.url, "CHECKPOINT_DISABLE": "1"}
        assert (await run("terraform", "init", "-input=false", env=env, cwd=tmp_path)).code == 0
        done = await run("terraform", "apply", "-input=false", "-auto-approve", env=env, cwd=tmp_path)
        assert TOKEN not in done.out + done.err + (tmp_path / "terraform.tfstate").read_text()
    assert done.code == 0, done.err
    (deployment,) = await exporter.deployments()
    assert (deployment["service"], deployment["version"]) == ("checkout", "v2.1.0")


def play(exporter_url: str, **words: str) -> list[dict[str, Any]]:
    known = {"afdp_url": exporter_url, "afdp_token": TOKEN, "afdp_service": "checkout", "afdp_id": "a-1"} | words
    tasks = [
        {
            "ansible.builtin.include_tasks": {"file": str(SENDERS / "ansible/deployment.yml")},
            "vars": {"afdp_status": status},
        }
        for status in ("started", "succeeded")
    ]
    return [{"hosts": "localhost", "gather_facts": False, "connection": "local", "vars": known, "tasks": tasks}]


async def test_the_ansible_tasks_report_start_and_end_and_never_fail_the_play(
    exporter: Exporter, tmp_path: Path
) -> None:
    for name, plays in {"reached": play(exporter.url), "away": play(AWAY)}.items():
        (tmp_path / f"{name}.yml").write_text(yaml.safe_dump(plays))
    env = {"ANSIBLE_LOCALHOST_WARNING": "false", "LC_ALL": "C.UTF-8", "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp")}
    deployment, away = await asyncio.gather(
        *(run("ansible-playbook", tmp_path / f"{name}.yml", env=env, cwd=tmp_path) for name in ("reached", "away"))
    )
    assert (deployment.code, away.code) == (0, 0), deployment.out + deployment.err + away.out
    assert TOKEN not in deployment.out + away.out
    assert (await exporter.deployment("a-1"))["status"] == "succeeded"


@pytest.mark.parametrize("file", sorted(SENDERS.rglob("*.y*ml")), ids=lambda path: str(path.relative_to(SENDERS)))
def test_every_address_in_what_is_pasted_is_one_that_is_served(file: Path) -> None:
    served = [re.compile(re.sub(r"\{\w+\}", r"[^/]+", route.path)) for route in ROUTES]
    for path in re.findall(r"(?:afdp-exporter\.monitoring:10333|path: )(/[\w/.-]+)", file.read_text()):
        known = [path, f"{path}/annotations"]  # Argo CD's Grafana service adds the last part itself
        assert any(pattern.fullmatch(each) for pattern in served for each in known), path

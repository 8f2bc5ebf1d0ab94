"""Terraform for the clouds: well formed, no more rights than the page lists, closed, and without a secret."""

import base64
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2
import pytest

from deploy.conftest import DEPLOY, ROOT, run

TERRAFORM = DEPLOY / "terraform"
CLOUDS = {"aws": "AWS", "google": "Google Cloud", "azure": "Azure"}
# A folder of providers as `terraform providers mirror` writes it; else where Terraform itself looks for one
PROVIDERS = Path(os.environ.get("AFDP_TERRAFORM_PROVIDERS", "~/.terraform.d/plugins")).expanduser()
QUIET = {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
WITHOUT_RESOURCES = {"cloudwatch:GetMetricData", "cloudwatch:ListMetrics", "ecr:GetAuthorizationToken"}
every_cloud = pytest.mark.parametrize("cloud", CLOUDS)
with_a_machine = pytest.mark.parametrize("cloud", ["google", "azure"])
with_terraform = pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is missing")


def plain(parsed: Any) -> Any:  # noqa: ANN401
    """Without the quotes and marks that the parser leaves on."""
    if isinstance(parsed, dict):
        return {plain(key): plain(value) for key, value in parsed.items() if not key.startswith("__")}
    if isinstance(parsed, list):
        return [plain(each) for each in parsed]
    return parsed.strip('"') if isinstance(parsed, str) else parsed


def text(cloud: str) -> str:
    return "\n".join(file.read_text() for file in sorted((TERRAFORM / cloud).glob("*.tf")))


def named(cloud: str, kind: str) -> dict[str, Any]:
    """The variables or outputs by name."""
    return {name: body for each in plain(hcl2.loads(text(cloud)))[kind] for name, body in each.items()}


def blocks(cloud: str, kind: str, of_type: str) -> Iterator[dict[str, Any]]:
    """The bodies of the resources or data of a type, a regular expression."""
    for each in plain(hcl2.loads(text(cloud))).get(kind, []):
        ((found, bodies),) = each.items()
        if re.fullmatch(of_type, found):
            yield from bodies.values()


def section(page: Path, heading: str) -> str:
    return page.read_text().split(f"{heading}\n", 1)[1]


def statements() -> Iterator[dict[str, Any]]:
    """Each statement of AWS' roles, those made under a condition too."""
    for document in blocks("aws", "data", "aws_iam_policy_document"):
        yield from document.get("statement", [])
        for dynamic in document.get("dynamic", []):
            each = dynamic["statement"]
            (content,) = each["content"]
            yield content | {"resources": ["*"] if '["*"]' in each["for_each"].replace("'", '"') else ["one"]}


def rights(cloud: str) -> set[str]:
    if cloud == "aws":
        return {action for each in statements() if "principals" not in each for action in each["actions"]}
    kind, key = (".*_iam_.*", "role") if cloud == "google" else ("azurerm_role_assignment", "role_definition_name")
    return {each[key] for each in blocks(cloud, "resource", kind)}


@every_cloud
def test_every_variable_is_described_checked_and_used(cloud: str) -> None:
    for name, variable in named(cloud, "variable").items():
        assert variable["description"].endswith("."), name
        assert {"type", "validation"} <= set(variable), name
        assert re.search(rf"\bvar\.{name}\b", (TERRAFORM / cloud / "main.tf").read_text()), name
    assert all(output["description"] for output in named(cloud, "output").values())


@every_cloud
def test_no_image_is_invented(cloud: str) -> None:
    assert "default" not in named(cloud, "variable")["image"]


@every_cloud
def test_the_page_lists_the_rights_that_are_given_and_no_others(cloud: str) -> None:
    rows = re.findall(
        r"^\| (`[^|]+`) \|", section(ROOT / "docs/clouds.md", f"## {CLOUDS[cloud]}").split("\n## ")[0], re.MULTILINE
    )
    assert {right for row in rows for right in re.findall(r"`([^`]+)`", row)} == rights(cloud)


def test_a_right_on_everything_is_given_only_where_aws_knows_no_resource() -> None:
    for each in statements():
        assert not [action for action in each["actions"] if "*" in action]
        if "*" in each.get("resources", []):
            assert set(each["actions"]) <= WITHOUT_RESOURCES


@every_cloud
def test_no_secret_is_in_the_files_or_in_the_state(cloud: str) -> None:
    assert not re.search(
        r'^\s*\w*(password|passwd|token|secret|api_key|access_key)\w*\s*=\s*"[^"$]',
        text(cloud),
        re.MULTILINE | re.IGNORECASE,
    )
    assert not list(blocks(cloud, "resource|data", ".*(secret_version|key_vault_secret|random_password).*"))


def test_aws_lets_in_nobody_by_default() -> None:
    assert not list(blocks("aws", "resource", "aws_security_group_rule"))
    assert not [each for each in blocks("aws", "resource", "aws_security_group") if "ingress" in each]
    for rule in blocks("aws", "resource", "aws_vpc_security_group_ingress_rule"):
        assert "referenced_security_group_id" in rule or "var.allowed_cidr_blocks" in rule["for_each"]
    assert named("aws", "variable")["allowed_cidr_blocks"]["default"] == []


def test_google_lets_in_nobody_by_default() -> None:
    walls = list(blocks("google", "resource", "google_compute_firewall"))
    assert [each["source_ranges"] for each in walls if "deny" in each] == [["0.0.0.0/0"]]
    assert [each["source_ranges"] for each in walls if "allow" in each] == ["${var.allowed_cidr_blocks}"]
    (machine,) = blocks("google", "resource", "google_compute_instance")
    assert "access_config" not in machine["network_interface"][0]
    assert named("google", "variable")["allowed_cidr_blocks"]["default"] == []


def test_azure_lets_in_nobody_by_default() -> None:
    rules = {each["access"]: each for each in blocks("azure", "resource", "azurerm_network_security_rule")}
    assert rules["Allow"]["source_address_prefixes"] == "${var.allowed_cidr_blocks}"
    assert rules["Allow"]["priority"] < rules["Deny"]["priority"]
    assert rules["Deny"]["source_address_prefix"] == "*"
    assert not list(blocks("azure", "resource", "azurerm_public_ip"))
    assert named("azure", "variable")["allowed_cidr_blocks"]["default"] == []


async def test_the_machines_scripts_are_clean() -> None:
    for script in TERRAFORM.glob("*/run.sh"):
        done = await run("shellcheck", "--shell=sh", script)
        assert done.code == 0, done.out


CONFIG = """tokens: [{name: "a\\"b", token: 'p%s $HOME \\\\n'}]\n# größer\n"""
IMAGE = "registry.example.org/afdp-exporter:v1"
# What the scripts find on a machine: programs that note how they are called, and a cloud that answers
PROGRAMS = dict.fromkeys(("mkfs.ext4", "mount", "chown", "docker-credential-gcr"), "") | {
    "blkid": "exit $FOUND",
    "mountpoint": "exit 1",
    "docker": 'if [ "$1" = login ]; then cat >"$MACHINE/password"; fi',
    "curl": """case "$*" in
        *169.254.169.254*|*metadata.google*) printf '{"access_token": "sesame", "expires_in": 3599}' ;;
        *oauth2/exchange*) [ "$(cat)" = sesame ] && printf '{"refresh_token": "refreshed"}' ;;
        *) [ "$(cat)" = 'header = "Authorization: Bearer sesame"' ] && cat "$MACHINE/answer" ;;
    esac""",
}


def machine(folder: Path, cloud: str, found: int) -> dict[str, str]:
    """A machine's environment: `found` is what blkid says of the disk."""
    (folder / "bin").mkdir()
    for name, does in PROGRAMS.items():
        (folder / "bin" / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"$MACHINE/calls"\n{does}\n')
        (folder / "bin" / name).chmod(0o755)
    data = base64.b64encode(CONFIG.encode()).decode()
    answer = {"payload": {"data": data, "dataCrc32c": "1"}} if cloud == "google" else {"value": CONFIG, "id": "x"}
    (folder / "answer").write_text(json.dumps(answer, indent=2))
    (folder / "disk").touch()
    (folder / "run").mkdir()
    ours = {"AFDP_DEVICE": "disk", "AFDP_STORE": "store", "RUNTIME_DIRECTORY": "run"}
    return {key: str(folder / name) for key, name in ours.items()} | {
        "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
        "MACHINE": str(folder),
        "FOUND": str(found),
        "AFDP_IMAGE": IMAGE,
        "AFDP_CONFIG_URL": "https://secrets.example.org/afdp",
        "AFDP_IDENTITY": "me",
        "AFDP_LOGIN_FIRST": "true",
    }


@pytest.mark.parametrize("found", [0, 2])
@with_a_machine
async def test_a_machine_formats_only_an_empty_disk_and_starts_with_the_secret_as_it_is(
    cloud: str, found: int, tmp_path: Path
) -> None:
    done = await run("sh", TERRAFORM / cloud / "run.sh", env=machine(tmp_path, cloud, found))
    assert done.code == 0, done.err
    calls = (tmp_path / "calls").read_text()
    assert ("mkfs.ext4" in calls) == (found == 2)
    config = tmp_path / "run/config/afdp.yml"
    assert (config.read_text(), config.stat().st_mode & 0o077) == (CONFIG, 0)
    *_, last = calls.splitlines()
    assert re.fullmatch(rf"docker run .* {config.parent}:/etc/afdp:ro {IMAGE}", last)
    assert "sesame" not in calls + done.out + done.err
    assert cloud == "google" or (tmp_path / "password").read_text() == "refreshed"


@with_a_machine
async def test_a_machine_without_its_disk_or_its_secret_does_not_start(cloud: str, tmp_path: Path) -> None:
    for missing in ("disk", "answer"):
        (tmp_path / missing).mkdir()
        env = machine(tmp_path / missing, cloud, 0)
        (tmp_path / missing / missing).unlink()
        assert (await run("sh", TERRAFORM / cloud / "run.sh", env=env)).code != 0
        calls = tmp_path / missing / "calls"
        assert not calls.exists() or "docker run" not in calls.read_text()


@with_a_machine
def test_a_machine_is_given_every_setting_that_its_script_reads(cloud: str) -> None:
    read = set(re.findall(r"\$\{?(AFDP_\w+)", (TERRAFORM / cloud / "run.sh").read_text()))
    assert read == set(re.findall(r"^\s+(AFDP_\w+)\s+=", text(cloud), re.MULTILINE))


def pasted(cloud: str) -> str:
    """The values that the README offers to paste."""
    return section(DEPLOY / "README.md", f"\n{CLOUDS[cloud]}:").split("```hcl\n", 1)[1].split("```")[0]


@with_terraform
@every_cloud
async def test_what_is_to_be_pasted_is_taken_and_the_whole_world_is_not(cloud: str, tmp_path: Path) -> None:
    shutil.copy(TERRAFORM / cloud / "variables.tf", tmp_path)
    (tmp_path / "terraform.tfvars").write_text(pasted(cloud))
    plan = ("terraform", "plan", "-input=false", "-no-color")
    done = await run(*plan, env=QUIET, cwd=tmp_path)
    assert done.code == 0, done.err
    for wrong in ('allowed_cidr_blocks=["0.0.0.0/0"]', "image=afdp-exporter", "name=-"):
        done = await run(*plan, "-var", wrong, env=QUIET, cwd=tmp_path)
        assert (done.code, "Invalid value for variable" in done.err) == (1, True), wrong


@with_terraform
@every_cloud
async def test_the_files_have_terraforms_own_form(cloud: str) -> None:
    done = await run("terraform", "fmt", "-check", "-diff", TERRAFORM / cloud, env=QUIET)
    assert done.code == 0, done.out + done.err


@with_terraform
@every_cloud
async def test_the_resources_are_those_of_the_provider(cloud: str, tmp_path: Path) -> None:
    provider = {"google": "google", "azure": "azurerm", "aws": "aws"}[cloud]
    if not any(PROVIDERS.glob(f"*/hashicorp/{provider}")):
        pytest.skip(f"no provider {provider} in {PROVIDERS}")
    folder = shutil.copytree(TERRAFORM / cloud, tmp_path / cloud)
    for words in (("init", "-backend=false", "-input=false", f"-plugin-dir={PROVIDERS}"), ("validate",)):
        done = await run("terraform", *words, "-no-color", env=QUIET, cwd=folder)
        assert done.code == 0, done.out + done.err

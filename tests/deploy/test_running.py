"""The ways to run the exporter, held to the formats of those who read them, and its settings to the exporter itself."""

import asyncio
import configparser
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from afdp_exporter import config
from afdp_exporter.alerts import AlertSettings, chart_files, one_file
from afdp_exporter.commands.import_ import Shard, import_
from deploy.conftest import DEPLOY, ROOT, run

CHART = DEPLOY / "helm/afdp-exporter"
EVERYTHING = (
    "serviceMonitor.enabled=true,prometheusRule.enabled=true,dashboards.enabled=true,rbac.create=true,"
    "ingress.enabled=true,ingress.host=afdp.example.org,ingress.tlsSecret=tls,networkPolicy.enabled=true"
)

OPERATOR = ("serviceMonitor.enabled=true", "prometheusRule.enabled=true")


async def valid(manifests: str, tmp_path: Path) -> list[dict[str, Any]]:
    """The objects, held to the schemas of the Kubernetes API; custom resources have none there."""
    objects = [each for each in yaml.safe_load_all(manifests) if each]
    (tmp_path / "manifests.yml").write_text(
        yaml.safe_dump_all(each for each in objects if ".coreos.com" not in each["apiVersion"])
    )
    done = await run("kubernetes-validate", "--strict", "--quiet", tmp_path / "manifests.yml")
    assert done.code == 0, done.out + done.err
    return objects


def pod(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = [each["spec"]["template"]["spec"] for each in objects if each["kind"] == "StatefulSet"]
    return found  # type: ignore[no-any-return]


def hardened(spec: dict[str, Any]) -> None:
    """It runs as nobody, writes nowhere but its data, and may nothing."""
    assert spec["securityContext"]["runAsNonRoot"] is True
    (container,) = spec["containers"]
    inside = container["securityContext"]
    assert (inside["readOnlyRootFilesystem"], inside["allowPrivilegeEscalation"]) == (True, False)
    assert inside["capabilities"] == {"drop": ["ALL"]}
    assert {container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")} == {
        "/-/healthy",
        "/-/ready",
    }
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"/data", "/etc/afdp", "/tmp"} <= mounts


async def test_the_dockerfile_is_clean_and_runs_as_nobody() -> None:
    done = await run("hadolint", DEPLOY / "docker/Dockerfile")
    assert done.code == 0, done.out
    text = (DEPLOY / "docker/Dockerfile").read_text()
    assert re.search(r"^USER [1-9]\d*:\d+$", text, re.MULTILINE)
    flags = {name.removeprefix("AFDP_").lower() for name in re.findall(r"AFDP_\w+", text)}
    serve = (await run("afdp", "serve", "--help")).out
    assert all(f"AFDP_{flag.upper()}" in serve for flag in flags)


async def test_the_image_takes_all_that_the_build_needs(tmp_path: Path) -> None:
    """There is no engine in the tests: the build's own commands run on what .dockerignore lets through."""
    taken = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in taken:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, tmp_path / name)
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "docker/Dockerfile").read_text(), re.MULTILINE)
    assert {name for line in copied for name in line.split()} == set(taken)
    done = await run("python", "-c", "import hatchling.build as b; print(b.build_wheel('.'))", cwd=tmp_path)
    assert done.out.strip().endswith(".whl"), done.err


async def test_the_compose_file_is_composes() -> None:
    done = await run("docker-compose", "-f", DEPLOY / "docker/compose.yml", "config", "--format", "json", cwd=ROOT)
    assert done.code == 0, done.err
    services = json.loads(done.out)["services"]
    mounts = [mount for service in services.values() for mount in service.get("volumes", [])]
    sources = [Path(mount["source"]) for mount in mounts if mount["type"] == "bind"]
    assert sources
    assert await asyncio.to_thread(lambda: [source for source in sources if not source.exists()]) == []


async def test_the_swarm_stack_is_swarms(program: Callable[[str], str]) -> None:
    stack = DEPLOY / "swarm/stack.yml"
    done = await run("docker-compose", "-f", stack, "config", "--quiet", cwd=ROOT)
    assert done.code == 0, done.err
    if shutil.which("docker") is not None:
        own = await run(program("docker"), "stack", "config", "-c", stack, cwd=DEPLOY / "swarm")
        assert own.code == 0, own.err
    deploy = yaml.safe_load(stack.read_text())["services"]["afdp-exporter"]["deploy"]
    assert (deploy["replicas"], deploy["update_config"]["order"]) == (1, "stop-first")


@pytest.mark.parametrize("file", ["docker/compose.replicas.yml", "swarm/replicas.yml"])
async def test_several_replicas_share_one_postgresql(file: str, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("POSTGRES_PASSWORD=x\n")
    words = ("--env-file", tmp_path / "env", "-f", DEPLOY / file, "config", "--format", "json")
    done = await run("docker-compose", *words, cwd=ROOT)
    assert done.code == 0, done.err
    services = json.loads(done.out)["services"]
    for name in ("afdp-exporter", "afdp-analyser"):
        assert services[name]["deploy"]["replicas"] == 2
        assert services[name]["environment"]["AFDP_STORAGE_URL"].startswith("postgresql://")
    assert services["afdp-analyser"]["command"] == ["analyse"]


async def test_the_chart_has_replicas_and_analysers_on_postgresql(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    command = (program("helm"), "template", "afdp", CHART, "--set", "replicas=3,analysers.replicas=2")
    refused = await run(*command)
    assert "share no volume" in refused.err
    url = "storageUrl=postgresql://afdp@db.example.org/afdp,analysers.autoscaling.enabled=true"
    done = await run(*command, "--set", url)
    assert done.code == 0, done.err
    objects = await valid(done.out, tmp_path)
    by_kind = {each["kind"]: each for each in objects}
    replicas, analysers = by_kind["StatefulSet"]["spec"], by_kind["Deployment"]["spec"]
    assert (replicas["replicas"], "volumeClaimTemplates" in replicas) == (3, False)
    hardened(pod(objects))
    hardened(analysers["template"]["spec"])
    for spec in (replicas, analysers):
        (container,) = spec["template"]["spec"]["containers"]
        assert {"name": "AFDP_STORAGE_URL", "value": "postgresql://afdp@db.example.org/afdp"} in container["env"]
    selector = by_kind["Service"]["spec"]["selector"]
    assert not selector.items() <= analysers["template"]["metadata"]["labels"].items()  # it is not sent webhooks
    assert by_kind["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    scaled = by_kind["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"]
    keda = yaml.safe_load((DEPLOY / "kubernetes/keda.yaml").read_text())
    assert scaled == by_kind["Deployment"]["metadata"]["name"] == keda["spec"]["scaleTargetRef"]["name"]


def test_the_pods_of_an_indexed_job_share_the_services() -> None:
    job = yaml.safe_load((DEPLOY / "kubernetes/import-job.yaml").read_text())
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (pod["securityContext"]["runAsNonRoot"], container["securityContext"]["readOnlyRootFilesystem"]) == (
        True,
        True,
    )
    count = job["spec"]["completions"]
    assert job["spec"]["completionMode"] == "Indexed"
    for index in range(count):
        words = [word.replace("$(JOB_COMPLETION_INDEX)", str(index)) for word in container["args"][1:]]
        assert import_.make_context("import", words).params["shard"] == Shard.Part(index, count)


async def test_the_dask_cluster_is_kubernetes_and_runs_what_the_image_has(tmp_path: Path) -> None:
    objects = await valid((DEPLOY / "kubernetes/dask.yaml").read_text(), tmp_path)
    images = set()
    for each in objects:
        if each["kind"] == "Deployment":
            spec = each["spec"]["template"]["spec"]
            (container,) = spec["containers"]
            assert spec["securityContext"]["runAsNonRoot"] is True
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            images.add(container["image"])
            program, kind, *options = container["command"]
            done = await run(Path(sys.executable).parent / program, kind, *options, "--help")
            assert done.code == 0, done.err
    assert len(images) == 1


@pytest.mark.parametrize("name", ["docker/afdp.yml", "kubernetes/afdp.yml"])
def test_the_shipped_configurations_are_right(name: str, tmp_path: Path) -> None:
    content = yaml.safe_load((DEPLOY / name).read_text())
    (tmp_path / "token").write_text("t")
    content["tokens"][0]["token_file"] = str(tmp_path / "token")
    read = config.read(content)
    assert len(read.metrics) == 2
    assert read.tokens


async def test_the_manifests_are_kubernetes(program: Callable[[str], str], tmp_path: Path) -> None:
    done = await run(program("kubectl"), "kustomize", DEPLOY / "kubernetes")
    assert done.code == 0, done.err
    objects = await valid(done.out, tmp_path)
    assert {each["kind"] for each in objects} == {"ConfigMap", "NetworkPolicy", "Service", "StatefulSet"}
    hardened(pod(objects))
    assert pod(objects)["automountServiceAccountToken"] is False


async def test_the_chart_is_clean_and_its_objects_are_kubernetes(program: Callable[[str], str], tmp_path: Path) -> None:
    helm = program("helm")
    lint = await run(helm, "lint", "--strict", CHART)
    assert lint.code == 0, lint.out
    plain = await run(helm, "template", "afdp", CHART)
    objects = await valid(plain.out, tmp_path)
    assert {each["kind"] for each in objects} == {"ConfigMap", "Pod", "Service", "ServiceAccount", "StatefulSet"}
    hardened(pod(objects))

    whole = await run(helm, "template", "shop", CHART, "--set", EVERYTHING, "--set", "serviceMonitor.labels.release=x")
    assert whole.code == 0, whole.err
    objects = await valid(whole.out, tmp_path)
    by_kind = {each["kind"]: each for each in objects}
    (endpoint,) = by_kind["ServiceMonitor"]["spec"]["endpoints"]
    assert endpoint["honorLabels"] is True
    assert by_kind["ServiceMonitor"]["metadata"]["labels"]["release"] == "x"
    settings = AlertSettings(exporter_url="https://afdp.example.org")
    assert rules_of(by_kind["PrometheusRule"]) == rules_of({"spec": yaml.safe_load(one_file(settings))})
    shown = [each["data"] for each in objects if "grafana_dashboard" in each["metadata"].get("labels", {})]
    files = (ROOT / "grafana/dashboards").glob("*.json")
    at = settings.exporter_url  # where the variable of the exporter's address leads
    dashboards = {file.name: json.loads(file.read_text().replace("http://localhost:10333", at)) for file in files}
    assert {name: json.loads(text) for data in shown for name, text in data.items()} == dashboards


def rules_of(manifest: dict[str, Any]) -> dict[str, Any]:
    return {group["name"]: group["rules"] for group in manifest["spec"]["groups"]}


def test_the_rules_of_the_chart_are_those_that_are_shipped() -> None:
    assert {path.name: path.read_text() for path in (CHART / "files/rules").glob("*.yml")} == chart_files()


async def test_the_rules_of_the_chart_follow_its_values(program: Callable[[str], str]) -> None:
    values = {
        "prometheusRule": {
            "enabled": True,
            "grafanaUrl": "https://grafana.example.net/",
            "runbookUrl": "https://wiki.example.net/afdp",
            "thresholds": {"cost_per_hour": 250.5, "told_for": 172800, "risk_ratio": 0.25, "delayed": 60},
        },
        "serviceMonitor": {"enabled": True, "jobLabel": ""},
        "externalUrl": "https://ops.example.net/afdp/",
    }
    command = (program("helm"), "template", "shop", CHART)
    done = await run(*command, "--set-json", ",".join(f"{name}={json.dumps(value)}" for name, value in values.items()))
    assert done.code == 0, done.err
    objects = {each["kind"]: each for each in yaml.safe_load_all(done.out)}
    settings = AlertSettings(
        exporter_url="https://ops.example.net/afdp",
        grafana_url="https://grafana.example.net",
        runbook_url="https://wiki.example.net/afdp",
        cost_per_hour=250.5,
        told_for=timedelta(days=2),
        risk_ratio=0.25,
        delayed=timedelta(minutes=1),
        job="shop-afdp",
    )
    assert rules_of(objects["PrometheusRule"]) == rules_of({"spec": yaml.safe_load(one_file(settings))})
    assert "jobLabel" not in objects["ServiceMonitor"]["spec"]
    (container,) = objects["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    assert "--web.external-url=https://ops.example.net/afdp" in container["args"]


@pytest.mark.parametrize(
    "values", [(), ("ingress.enabled=true", "ingress.host=afdp.example.net", "ingress.tlsSecret=t")]
)
async def test_no_link_of_the_chart_leads_nowhere_and_the_exporter_that_runs_is_not_called_down(
    program: Callable[[str], str], promtool: Path, tmp_path: Path, values: tuple[str, ...]
) -> None:
    done = await run(program("helm"), "template", "shop", CHART, "--set", ",".join([*OPERATOR, *values]))
    assert done.code == 0, done.err
    by_kind = {each["kind"]: each for each in yaml.safe_load_all(done.out)}
    text = yaml.safe_dump(by_kind["PrometheusRule"])
    assert not re.search(r"localhost|example\.com|__\w+__", text)
    address = "https://afdp.example.net" if values else "http://shop-afdp.default.svc:10333"
    assert f"{address}/runbooks/AFDPDeploymentImpact" in text
    assert f"{address}/deployments/" in text
    job = by_kind["Service"]["metadata"]["labels"][by_kind["ServiceMonitor"]["spec"]["jobLabel"]]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(by_kind["PrometheusRule"]["spec"]))
    fires = {"expr": 'count(ALERTS{alertname="AFDPExporterDown", alertstate="firing"})', "eval_time": "20m"}
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": f'up{{job="{of}"}}', "values": "1x20"}],
            "promql_expr_test": [fires | {"exp_samples": samples}],
        }
        for of, samples in ((job, []), ("other", [{"labels": "{}", "value": 1}]))
    ]
    (tmp_path / "tests.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": tests}))
    tested = await run(promtool, "test", "rules", tmp_path / "tests.yml")
    assert tested.code == 0, tested.out + tested.err


async def test_the_charts_configuration_is_one_that_the_exporter_takes(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    done = await run(program("helm"), "template", "afdp", CHART, "--show-only", "templates/configmap.yaml")
    content = yaml.safe_load(yaml.safe_load(done.out)["data"]["afdp.yml"])
    (tmp_path / "token").write_text("t")
    content["tokens"][0]["token_file"] = str(tmp_path / "token")
    assert config.read(content).tokens


@pytest.mark.parametrize(
    "values",
    [
        "nope=1",
        "prometheusRule.thresholds.nope=1",
        "externalUrl=shop",
        "replicas=2",
        "config.sources=null",
        "service.port=70000",
        "image.repository=",
    ],
)
async def test_values_that_cannot_work_are_refused(program: Callable[[str], str], values: str) -> None:
    done = await run(program("helm"), "template", "afdp", CHART, "--set", values)
    assert done.code != 0


async def test_the_helm_hook_is_kubernetes_and_its_command_reports(
    program: Callable[[str], str],
    tmp_path: Path,
    exporter: Any,  # noqa: ANN401
) -> None:
    chart = tmp_path / "shop"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("{apiVersion: v2, name: checkout, version: 1.0.0, appVersion: v2.1.0}")
    shutil.copy(DEPLOY / "senders/helm/afdp-hook.yaml", chart / "templates")
    (chart / "values.yaml").write_text(yaml.safe_dump({"afdp": {"url": exporter.url, "environment": "production"}}))
    done = await run(program("helm"), "template", "till", chart, "-n", "shop")
    assert done.code == 0, done.err
    (job,) = await valid(done.out, tmp_path)
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-install,post-upgrade,post-rollback"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    env = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
    ran = await run(*container["command"], env=env | {"AFDP_TOKEN": "canary-token"})
    assert ran.code == 0
    deployment = await exporter.deployment("helm-shop-till-1")
    assert (deployment["service"], deployment["version"], deployment["environment"]) == (
        "checkout",
        "v2.1.0",
        "production",
    )
    assert deployment["labels"] == {"release": "till", "chart": "checkout-1.0.0"}
    without = await run(program("helm"), "template", "till", chart, "--set", "afdp=null")
    assert without.out.strip() == ""


async def test_the_unit_is_systemds(tmp_path: Path) -> None:
    source = DEPLOY / "systemd/afdp-exporter.service"
    unit = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(source)
    assert {"Unit", "Service", "Install"} <= set(unit.sections())
    assert unit["Service"]["ProtectSystem"] == "strict"
    if shutil.which("systemd-analyze") is not None:
        fitted = source.read_text().replace("/opt/afdp/bin/afdp", "/bin/true").replace("User=afdp", "User=root")
        (tmp_path / "afdp-exporter.service").write_text(fitted.replace("Group=afdp", "Group=root"))
        done = await run("systemd-analyze", "verify", "--man=no", tmp_path / "afdp-exporter.service")
        assert "afdp-exporter.service" not in done.err, done.err


@pytest.mark.parametrize(
    "value",
    ["nope=1", "service.prot=1", "image.registri=x", "ingress.hots=x", "dashboards.enable=true", "rbac.crate=true"],
)
async def test_a_value_that_the_chart_does_not_know_is_refused(program: Callable[[str], str], value: str) -> None:
    done = await run(program("helm"), "template", "afdp", CHART, "--set", value)
    assert done.code != 0
    assert "additional properties" in done.err


def documented() -> list[str]:
    """What the documents give the chart: each `helm install`, alone and with what they say to add."""
    texts = [file.read_text() for file in (ROOT / "README.md", ROOT / "deploy/README.md", CHART / "README.md")]
    installs = [match[1] for text in texts for match in re.finditer(r"helm install afdp \S+([^`\n]*)", text)]
    alone = " ".join(match[0] for text in texts for match in re.finditer(r"(?<=`)--set [^`]+", text))
    return [*installs, *(f"{install} {alone}" for install in installs)]


@pytest.mark.parametrize(
    "address", ["", "externalUrl=https://afdp.corp.test", "ingress.enabled=true,ingress.host=h.test"]
)
async def test_with_the_values_of_the_documents_nothing_leads_to_this_machine_or_an_example(
    program: Callable[[str], str], address: str
) -> None:
    assert len(documented()) >= 4
    for words in documented():
        given = shlex.split(words.replace("values.yaml", str(CHART / "values.yaml")))
        done = await run(program("helm"), "template", "afdp", CHART, *given, *(["--set", address] if address else []))
        assert done.code == 0, done.err
        assert not re.search(r"localhost|example\.(com|org|net)", done.out)

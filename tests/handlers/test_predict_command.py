"""`afdp predict` asks a running exporter."""

import asyncio
import json
from pathlib import Path

from aiohttp import ClientSession
from click.testing import CliRunner, Result

from afdp_exporter import cli


async def predict(url: str, *arguments: str) -> Result:
    command = ["predict", f"--url={url}", "--tries=1", *arguments]
    return await asyncio.to_thread(CliRunner().invoke, cli._afdp, command)


async def test_a_prediction_is_reported_with_its_range_and_what_it_rests_on(client: ClientSession) -> None:
    url = str(client._base_url)
    result = await predict(url, "--service=checkout", "--change-type=database")
    assert result.exit_code == 0, result.output
    assert "Risk of degradation or failure: " in result.stdout
    assert "(0 past deployments, basis: cold)" in result.stdout
    assert "is a prior, not a finding" in result.stdout
    answer = json.loads((await predict(url, "--service=checkout", "--output=json")).stdout)
    assert (answer["basis"], answer["deployment"]["status"]) == ("cold", "planned")


async def test_what_cannot_be_asked_ends_with_one_line_and_status_1(client: ClientSession) -> None:
    refused = await predict(str(client._base_url), "--service=checkout", "--started-at=yesterday")
    assert refused.exit_code == 1
    assert "started_at: a time with its offset is expected" in refused.stderr
    away = await predict("http://127.0.0.1:9", "--service=checkout")
    assert away.exit_code == 1
    assert away.stderr == (
        "afdp predict: http://127.0.0.1:9 cannot be reached: no connection: Connection refused; "
        "is it running? --url or AFDP_URL names another exporter\n"
    )


MANIFEST = """
kind: Deployment
metadata: {{name: checkout}}
spec:
  replicas: {replicas}
  template: {{spec: {{containers: [{{resources: {{requests: {{cpu: 2, memory: 8Gi}}}}}}]}}}}
---
kind: Service
"""


async def test_two_folders_of_manifests_show_what_more_the_cloud_costs(client: ClientSession, tmp_path: Path) -> None:
    for side, replicas in (("before", 2), ("after", 5)):
        (tmp_path / side).mkdir()
        (tmp_path / side / "checkout.yaml").write_text(MANIFEST.format(replicas=replicas))
    before, after = str(tmp_path / "before"), str(tmp_path / "after")
    asked = (str(client._base_url), "--service=checkout", "--manifests")
    result = await predict(*asked, before, after)
    assert result.exit_code == 0, result.output
    assert "Cloud cost: 3 more pods, 6 more cores, 24 GiB more memory: +$0.29 an hour [" in result.stdout
    assert "afdp: not counted: Service (1)" in result.stderr
    answer = json.loads((await predict(*asked, before, after, "--trait=replicas_delta=4", "--output=json")).stdout)
    traits = answer["deployment"]["traits"]
    assert (traits["replicas_delta"], traits["cpu_request_delta_cores"]) == (4, 6)
    bill = answer["cloud_cost_per_hour"]
    assert bill["low"] <= 6 * 0.031611 + 24 * 0.004237 <= bill["high"]
    same = await predict(*asked, before, before)
    assert "Cloud cost: The requests stay as they are: $0 an hour" in same.stdout


async def test_a_deployment_is_reported_with_what_it_requests_more(client: ClientSession, tmp_path: Path) -> None:
    for side, replicas in (("before", 2), ("after", 1)):
        (tmp_path / side).mkdir()
        (tmp_path / side / "checkout.yaml").write_text(MANIFEST.format(replicas=replicas))
    (tmp_path / "broken.yaml").write_text("{{ template }}: [")
    sides = [str(tmp_path / side) for side in ("before", "after")]
    command = ["annotate", f"--url={client._base_url}", "--service=checkout", "--tries=1", "--manifests"]
    result = await asyncio.to_thread(CliRunner().invoke, cli._afdp, [*command, *sides])
    assert result.exit_code == 0, result.output
    (stored,) = (await (await client.get("/api/v1/deployments")).json())["deployments"]
    assert (stored["traits"]["replicas_delta"], stored["traits"]["memory_request_delta_gib"]) == (-1, -8)
    broken = [*command, str(tmp_path), sides[1]]
    warned = await asyncio.to_thread(CliRunner().invoke, cli._afdp, broken)
    assert (warned.exit_code, "broken.yaml: is not YAML" in warned.stderr) == (0, True)
    assert (await asyncio.to_thread(CliRunner().invoke, cli._afdp, [*broken, "--fail"])).exit_code == 1


async def test_manifests_that_cannot_be_read_end_with_their_file(client: ClientSession, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("{{ template }}: [")
    asked = (str(client._base_url), "--service=checkout", "--manifests", str(tmp_path), str(tmp_path))
    refused = await predict(*asked)
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"afdp predict: {tmp_path / 'broken.yaml'}: is not YAML")

"""`afdp predict` asks a running exporter."""

import asyncio
import json

from aiohttp import ClientSession
from click.testing import CliRunner, Result

from afdp_exporter import cli


async def predict(url: str, *arguments: str) -> Result:
    command = ["predict", f"--url={url}", "--tries=1", *arguments]
    return await asyncio.to_thread(CliRunner().invoke, cli._afdp, command)


async def test_a_prediction_is_told_with_its_range_and_what_it_rests_on(client: ClientSession) -> None:
    url = str(client._base_url)
    told = await predict(url, "--service=checkout", "--change-type=database")
    assert told.exit_code == 0, told.output
    assert "Risk of degradation or failure: " in told.stdout
    assert "(0 past deployments, basis: cold)" in told.stdout
    assert "is a prior, not a finding" in told.stdout
    answer = json.loads((await predict(url, "--service=checkout", "--output=json")).stdout)
    assert (answer["basis"], answer["deployment"]["status"]) == ("cold", "planned")


async def test_what_cannot_be_asked_ends_with_one_line_and_status_1(client: ClientSession) -> None:
    refused = await predict(str(client._base_url), "--service=checkout", "--started-at=yesterday")
    assert refused.exit_code == 1
    assert "started_at: a time with its offset is expected" in refused.stderr
    away = await predict("http://127.0.0.1:9", "--service=checkout")
    assert (away.exit_code, away.stderr) == (
        1,
        "afdp predict: http://127.0.0.1:9 cannot be reached: no connection: Connection refused\n",
    )

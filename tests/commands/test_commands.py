"""The command line, run as people run it."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from afdp_exporter import cli
from afdp_exporter.commands.check import sparkline
from annotating_grafana import AnnotatingGrafana
from loopback import Serve


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli._afdp, arguments)


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    now = datetime.now(UTC)
    times = np.arange((now - timedelta(days=3)).timestamp() // 300 * 300, now.timestamp(), 300)
    values = 20 + np.random.default_rng(1).normal(0, 1, times.size)
    rows = [f"{time:.0f},latency,api,{value}" for time, value in zip(times, values, strict=True)]
    (tmp_path / "recording").mkdir()
    (tmp_path / "recording/series.csv").write_text("\n".join(["timestamp,metric,service,value", *rows]))
    config = {
        "sources": [{"name": "recorded", "kind": "recording", "path": str(tmp_path / "recording")}],
        "metrics": [
            {"name": "latency_seconds", "layer": "technical", "query": 'latency{service="$service"}'},
            {"name": "mails_per_second", "layer": "user", "query": 'mails{service="$service"}'},
        ],
        "services": [{"name": "api"}],
        "policy": {"analysis": {"history": "1d", "step": "5m"}},
    }
    file = tmp_path / "afdp.yml"
    file.write_text(json.dumps(config))
    return file


def change(config_file: Path, **blocks: object) -> None:
    config_file.write_text(json.dumps(json.loads(config_file.read_text()) | blocks))


def test_check_shows_what_each_query_returns_and_what_would_be_seen(config_file: Path) -> None:
    found = run("check", f"--config.file={config_file}", "--output=json")
    latency, mails = json.loads(found.stdout)
    assert latency["points"] == pytest.approx(288, abs=2)
    assert latency["placebos"] > 10
    assert latency["smallest_change"] > 0
    assert latency["problem"] is None
    assert mails["problem"] == "no data in the last day"
    assert found.exit_code == 1


def test_a_quick_check_only_asks(config_file: Path) -> None:
    found = run("check", f"--config.file={config_file}", "--quick")
    assert "latency_seconds" in found.output
    assert "no data in the last day" in found.output


async def test_check_tries_each_receiver_and_sends_it_nothing(config_file: Path, serve: Serve) -> None:
    grafana = AnnotatingGrafana(token="right")
    url = await serve(grafana.answer)
    grafanas = {"knows-us": ("right", url), "knows-us-not": ("wrong", url), "away": ("right", "http://127.0.0.1:1")}
    blocks = [
        {"name": name, "kind": "grafana", "url": place, "authorization": {"credentials": token}}
        for name, (token, place) in grafanas.items()
    ]
    change(config_file, metrics=[], notify=blocks)
    found = await asyncio.to_thread(run, "check", f"--config.file={config_file}", "--output=json")
    problems = {each["receiver"]: each["problem"] for each in json.loads(found.stdout)}
    assert problems == {
        "knows-us": None,
        "knows-us-not": f"{url}: it answers 401, authorization or basic_auth is missing or wrong",
        "away": "http://127.0.0.1:1: no connection: Connection refused; url or tls_config may be wrong",
    }
    assert found.exit_code == 1
    assert set(grafana.requests) == {("GET", "/api/annotations")}
    result = await asyncio.to_thread(run, "check", f"--config.file={config_file}")
    assert "notify knows-us: it answers, and knows us" in result.output
    assert "right" not in result.output


def test_a_wrong_configuration_ends_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "afdp.yml"
    file.write_text("sourcez: []")
    monkeypatch.setattr("sys.argv", ["afdp", "check", f"--config.file={file}"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("afdp: sourcez: unknown key; known: sources, metrics, services, calendar, policy, tokens")


def test_a_gap_is_a_blank_in_a_sparkline() -> None:
    values = np.concatenate([np.zeros(10), np.full(10, np.nan), np.ones(10)])
    assert sparkline(values, 6) == "▁▁  ██"
    assert sparkline(np.full(9, np.nan), 3) == "   "
    assert sparkline(np.ones(9), 3) == "▁▁▁"


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize(
    ("path", "command"),
    [((), cli._afdp), *commands(cli._afdp)],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_every_command_explains_itself_by_an_example_and_each_option(
    path: tuple[str, ...], command: click.Command
) -> None:
    found = run(*path, "--help")
    assert found.exit_code == 0
    assert "Example: afdp" in " ".join(found.output.split())
    assert not [line for line in found.output.splitlines() if line.endswith("...") and "[" not in line], (
        "a summary is cut"
    )
    assert not [each.opts for each in command.params if isinstance(each, click.Option) and not each.help]


def test_kinds_are_listed() -> None:
    assert run("kinds").output.splitlines()[0].startswith("sources: ")


@pytest.mark.parametrize(
    "command",
    [
        ("init", "--output=-"),
        ("predict", "--service=x", "--tries=2"),
        ("annotate", "--service=x", "--tries=2", "--fail"),
    ],
)
def test_what_is_not_reached_is_named_and_no_library_speaks(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "http://127.0.0.1:9"
    monkeypatch.setattr("sys.argv", ["afdp", *command, f"--url={url}"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("afdp")
    assert f"{url}" in line
    assert "no connection" in line


def test_what_prometheus_grafana_and_editors_load_is_rendered_from_the_package(tmp_path: Path) -> None:
    scraped = yaml.safe_load(run("render", "prometheus", "--target=afdp.corp.test:10333", "--job=afdp").stdout)
    (job,) = scraped["scrape_configs"]
    assert (job["job_name"], job["honor_labels"]) == ("afdp", True)
    assert job["static_configs"] == [{"targets": ["afdp.corp.test:10333"]}]
    folder = tmp_path / "dashboards"
    written = run("render", "dashboards", f"--output={folder}", "--web.external-url=https://afdp.corp.test")
    assert written.stdout.splitlines() == [str(path) for path in sorted(folder.iterdir())]
    for path in folder.iterdir():
        assert json.loads(path.read_text("utf-8"))["title"].startswith("AFDP ")
        assert "localhost" not in path.read_text("utf-8")
    assert json.loads(run("render", "schema").stdout)["properties"]["sources"]["type"] == "array"
    away = run("render", "dashboards", "--output=/dev/null/x")
    assert "--output names another" in str(away.exception)


def test_a_check_without_faults_ends_with_what_to_run_next(config_file: Path) -> None:
    change(config_file, metrics=[])
    assert (
        run("check", f"--config.file={config_file}")
        .stdout.splitlines()[-1]
        .startswith("next: afdp serve --config.file=")
    )

"""Twenty usual mistakes on the command line: each is answered with what is wrong and what to do next."""

import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from afdp_exporter import cli
from afdp_exporter.commands.render import COMMAND as RENDER

GOOD = "sources:\n  - {kind: prometheus, url: 'http://127.0.0.1:9'}\n"
METRIC = "metrics:\n  - {name: a_ratio, layer: user, query: "
FAULTY = GOOD + METRIC + "a, worze: up}\npolicy:\n  watch: {loks: [5m]}\nservics: []\n"
NOWHERE = "--url=http://127.0.0.1:9"

# what is typed, what afdp.yml holds (None: no such file), what is said, what is said to do next
MISTAKES: list[tuple[str, str | None, str, str]] = [
    ("servv", None, "No such command 'servv'", "Did you mean 'serve'?"),
    ("xyzzy", None, "No such command 'xyzzy'", "'afdp --help' lists them"),
    ("serve --storage.pth=x", None, "No such option '--storage.pth'", "'--storage.path'"),
    ("render alrts", None, "No such command 'alrts'", "Did you mean 'alerts'?"),
    ("serve", None, "No such file", "`afdp init` writes one"),
    ("check", "", "is empty", "`afdp init` writes a configuration"),
    ("check", "a: [", "is not YAML", "line 1, column"),
    ("check", "root:x:0:0\n", "holds no keys", "`afdp init` writes a configuration"),
    ("check", FAULTY, "metrics[0].worze: unknown key", "did you mean worse? (line 4 in afdp.yml)"),
    ("check", FAULTY, "policy.watch.loks: unknown key", "did you mean looks? (line 6 in afdp.yml)"),
    ("check", FAULTY, "servics: unknown key", "did you mean services? (line 7 in afdp.yml)"),
    ("check", GOOD + METRIC + "'sum(a'}\n", "this is not PromQL", "line 4 in afdp.yml"),
    ("check", "sources: [{kind: promethius}]", "unknown kind 'promethius'", "did you mean prometheus?"),
    ("check", GOOD + "policy: {analysis: {step: 1 minute}}", "policy.analysis.step", "such as 30s, 5m, 1h30m or 7d"),
    ("check --service=chekout", GOOD + "services: [{name: checkout}]", "chekout is not known", "did you mean checkout"),
    ("check", GOOD + METRIC + "a}\nservices: [{name: x}]", "no connection", "next: correct the 1 problem above"),
    ("serve --web.listen-address=0.0.0.0", GOOD, "0.0.0.0 is no HOST:PORT", ":10333 means every address"),
    ("serve --web.external-url=afdp.example.org", GOOD, "afdp.example.org", "such as https://afdp.example.org"),
    ("serve --web.systemd-socket", GOOD, "systemd has passed no socket on", "start it by a .socket unit"),
    ("serve --web.listen-address=127.0.0.1:{taken}", GOOD, "address already in use", "takes another port"),
    ("annotate", None, "Missing option '--service'", "annotate --help' for help"),
    (f"annotate --fail --tries=1 --service=x {NOWHERE}", None, "http://127.0.0.1:9", "is it running?"),
    (f"label --tries=1 d1 success {NOWHERE}", None, "http://127.0.0.1:9", "is it running?"),
    (f"predict --tries=1 --service=x {NOWHERE}", None, "http://127.0.0.1:9", "is it running?"),
    (f"digest --tries=1 {NOWHERE}", None, "http://127.0.0.1:9", "is it running?"),
    (f"gate --tries=1 --service=x {NOWHERE}", None, "http://127.0.0.1:9", "is it running?"),
    ("init", GOOD, "afdp.yml is there already", "--force replaces it"),
    ("import", GOOD, "name a file", "--feed"),
    ("demo --end=tomorrow", None, "a time with its offset is expected", "such as 2026-03-01T14:00:00Z"),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake[0])
def test_a_usual_mistake_is_answered_with_the_next_step(
    mistake: tuple[str, str | None, str, str], tmp_path: Path
) -> None:
    typed, content, said, following = mistake
    if content is not None:
        (tmp_path / "afdp.yml").write_text(content, "utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = typed.replace("{taken}", str(taken.getsockname()[1])).split()
        command = [sys.executable, "-m", "afdp_exporter", *words]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    answer = " ".join((ended.stdout + ended.stderr).split())
    assert ended.returncode != 0
    assert said.lower() in answer.lower()
    assert following in answer
    for internal in ("Traceback", "pydantic", "stamina", "instance of", "dataclass", "<class"):
        assert internal not in answer


def commands() -> list[tuple[str, ...]]:
    """Every command, and those within `render`."""
    assert isinstance(RENDER, click.Group)
    names = cli._Commands().list_commands(None)  # type: ignore[arg-type]
    return [(name,) for name in names] + [("render", name) for name in RENDER.commands]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_help_has_an_example(command: tuple[str, ...]) -> None:
    found = CliRunner().invoke(cli._afdp, [*command, "--help"])
    assert found.exit_code == 0
    assert "Example: afdp " in " ".join(found.output.split())


def test_no_summary_of_a_command_is_cut() -> None:
    found = CliRunner().invoke(cli._afdp, ["--help"], terminal_width=80)
    assert "..." not in found.output.partition("Commands:")[2]

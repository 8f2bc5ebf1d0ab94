"""Executors that run a program: each tried with a real one."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from afdp_exporter.errors import ActionRefused, ActionUnknown
from afdp_exporter.executors import Order
from afdp_exporter.settings import build

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ORDER = Order(
    deployment_id="d2", service="checkout", environment="production", at=NOON, version="v2", previous_version="v1"
)
HELM = """#!{python}
import json, pathlib, sys
history = pathlib.Path({history!r})
known = json.loads(history.read_text())
if sys.argv[1] == "history":
    print(json.dumps(known))
elif sys.argv[1] == "rollback":
    number = int(sys.argv[3])
    old = next(entry for entry in known if entry["revision"] == number)
    known[-1]["status"] = "superseded"
    known.append({{**old, "revision": known[-1]["revision"] + 1, "status": "deployed",
                   "description": f"Rollback to {{number}}"}})
    history.write_text(json.dumps(known))
    print("Rollback was a success! Happy Helming!")
"""


async def test_helm_goes_back_to_the_last_good_revision_once(tmp_path: Path) -> None:
    history, program = tmp_path / "history.json", tmp_path / "helm"
    history.write_text(
        '[{"revision": 1, "status": "superseded", "app_version": "v1", "description": "Install complete"},'
        ' {"revision": 2, "status": "failed", "app_version": "v1.5", "description": "Upgrade failed"},'
        ' {"revision": 3, "status": "deployed", "app_version": "v2", "description": "Upgrade complete"}]'
    )
    program.write_text(HELM.format(python=sys.executable, history=str(history)))
    program.chmod(0o755)
    executor = build("executors", "helm", {"program": str(program), "namespace": "shop"}, "")
    plan = await executor.check(ORDER)
    assert plan.request["command"][1:6] == ["rollback", "checkout", "1", "--namespace", "shop"]
    assert await executor.verify(plan) is False
    await executor.apply(plan)
    assert await executor.verify(plan)
    assert (await executor.check(ORDER)).done


async def test_a_command_says_by_its_status_what_it_did(tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    def command(status: int) -> list[str]:
        program = f"import sys; open({str(mark)!r}, 'a').write(sys.argv[1]); sys.exit({status})"
        return [sys.executable, "-c", program, "$service"]

    for status, error in ((0, None), (3, ActionRefused), (1, ActionUnknown)):
        executor = build("executors", "command", {"run": command(status)}, "")
        plan = await executor.check(ORDER)
        if error is None:
            await executor.apply(plan)
        else:
            with pytest.raises(error):
                await executor.apply(plan)
    assert mark.read_text() == "checkout" * 3


async def test_a_command_that_hangs_is_ended_and_unknown() -> None:
    executor = build(
        "executors", "command", {"run": [sys.executable, "-c", "import time; time.sleep(60)"], "timeout": "1s"}, ""
    )
    with pytest.raises(ActionUnknown, match="did not end"):
        await executor.apply(await executor.check(ORDER))


async def test_a_program_that_is_not_there_is_refused() -> None:
    executor = build("executors", "command", {"run": ["/nowhere/at/all"]}, "")
    with pytest.raises(ActionRefused, match="cannot be started"):
        await executor.apply(await executor.check(ORDER))

"""Five deployments a second: neither the memory of the main process grows, nor the work that each costs it."""

import asyncio
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
async def test_steady_load_costs_the_main_process_little_and_ever_the_same() -> None:
    """What is held to a limit is CPU and memory, which do not depend on who else uses the machine; the rest is said."""
    command = ("load.py", "--rate", "5", "--minutes", "10", "--gate", "cpu,rss,growth")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=BENCHMARKS, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    print(output.decode())
    assert process.returncode == 0, output.decode()

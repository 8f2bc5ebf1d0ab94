"""Whatever fails, and whenever: nothing is lost, nothing is done twice, and nothing is said that was not measured."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.defects import DEFECTS

PROGRAM = Path(__file__).parents[2] / "benchmarks/simulation.py"

FOUND = (
    910134,  # an answer bore a time before its check was due
    1000485, 1000791, 1000814, 1001078, 1001170, 1001203,  # a receiver stayed with a word whose answer was lost
    1005572,  # an outage before the deployment made repeated samples pass as new
    1005738,  # samples from before the later of two possible starts passed as later
    1006971, 1009429, 1009955,  # a source that did not answer how new its samples are passed as one that repeats none
    1000781,  # a lease was shortened by a clock that was set back
)  # fmt: skip


def simulated(*arguments: str) -> str:
    """What the program prints; a process of its own, since the seed draws the order of sets, too."""
    command = [sys.executable, str(PROGRAM), *arguments]
    ran = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False
    )
    assert not ran.returncode, ran.stdout + ran.stderr
    return ran.stdout


def test_days_of_operation_among_faults_break_nothing() -> None:
    assert "broken: none" in simulated("--seeds", "50", "--days", "0.75")


def test_days_of_operation_on_a_disk_that_fails_and_loses_power_break_nothing() -> None:
    assert "broken: none" in simulated("--file", "--seeds", "8", "--days", "0.75")


@pytest.mark.slow
def test_months_of_operation_among_faults_break_nothing() -> None:
    assert "broken: none" in simulated("--seeds", "200", "--days", "30", "--jobs", "2")


@pytest.mark.slow
def test_seeds_that_have_found_a_fault_hold() -> None:
    assert "broken: none" in simulated("--only", *map(str, FOUND), "--days", "30")


@pytest.mark.slow
def test_months_of_operation_on_a_disk_that_fails_and_loses_power_break_nothing() -> None:
    assert "broken: none" in simulated("--file", "--seeds", "60", "--days", "30", "--jobs", "2")


def test_the_same_seed_is_the_same_run() -> None:
    first, second = (simulated("--only", "5", "--days", "1").split(":", 1)[1] for _ in range(2))
    assert first == second


def test_each_planted_defect_is_found() -> None:
    lines = simulated("--defects", "--seeds", "80", "--days", "3").splitlines()
    assert [line.split(": ")[0] for line in lines] == list(DEFECTS)
    assert not [line for line in lines if "not found" in line]

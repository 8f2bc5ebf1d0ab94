"""What was acknowledged survives a power cut, at whatever moment it comes."""

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from afdp_exporter.store.sqlite.connection import open_writer
from store.sqlite.power_cut import Disk, trace

DEPLOYMENTS = 600


def can_trace() -> bool:
    """Whether strace is there and may look at a child."""
    command = ["strace", "-qq", "-o", os.devnull, "true"]
    return shutil.which("strace") is not None and not subprocess.run(command, check=False).returncode


pytestmark = pytest.mark.skipif(not can_trace(), reason="strace, which shows what reached the disk, does not work here")


def stored(folder: Path) -> set[str]:
    """Every id in a store that was opened again; opening checks the whole file."""
    connection = open_writer(folder / "store.db")
    ids = {row["id"] for row in connection.execute("SELECT id FROM deployments")}
    connection.close()
    return ids


def lost_by_cuts(tmp_path: Path, cuts: int, defect: str = "none") -> list[int]:
    """How many acknowledged deployments are missing in each state that so many cuts may leave."""
    folder = tmp_path / "disk"
    folder.mkdir()
    calls = trace(folder, DEPLOYMENTS, defect)
    chance = random.Random(f"{cuts} cuts")
    moments = set(chance.sample(range(len(calls)), cuts))
    disk, lost = Disk(folder), []
    for moment, call in enumerate(calls):
        disk.apply(call)
        if moment not in moments:
            continue
        for number, files in enumerate(disk.states(chance)):
            found = tmp_path / f"{moment}-{number}"
            found.mkdir()
            for name, data in files.items():
                (found / name).write_bytes(data)
            lost.append(len(disk.acked - stored(found)))
            shutil.rmtree(found)
    assert len(disk.acked) == DEPLOYMENTS
    return lost


@pytest.mark.parametrize("cuts", [34, pytest.param(500, marks=pytest.mark.slow)])
def test_no_acknowledged_deployment_is_lost_and_the_file_is_whole_after_a_power_cut(tmp_path: Path, cuts: int) -> None:
    lost = lost_by_cuts(tmp_path, cuts)
    assert len(lost) == 3 * cuts
    assert not any(lost)


@pytest.mark.parametrize("defect", ["unsynced", "ack-first"])
def test_the_cuts_would_show_an_acknowledgement_before_the_deployment_is_on_disk(tmp_path: Path, defect: str) -> None:
    assert any(lost_by_cuts(tmp_path, 10, defect))

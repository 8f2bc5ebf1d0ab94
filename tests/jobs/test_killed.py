"""A runner that is killed at any moment loses no job and keeps no answer twice."""

import subprocess
import sys
from pathlib import Path

CHILD = Path(__file__).with_name("killed_child.py")


def test_every_job_is_done_once_and_none_is_lost_wherever_its_runner_is_killed(tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, CHILD, tmp_path], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 30

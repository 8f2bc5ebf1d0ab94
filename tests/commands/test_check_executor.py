"""`afdp check` says whether another executor does analyses, in one line, and fails where it does not."""

from pathlib import Path

import yaml
from click.testing import CliRunner, Result

from afdp_exporter import cli
from compute.clusters import Cluster


def check(folder: Path, executor: dict[str, str]) -> Result:
    content = {
        "sources": [{"kind": "recording", "path": str(folder)}],
        "metrics": [{"name": "x", "layer": "technical", "query": "x"}],
        "services": [{"name": "shop", "metrics": []}],
        "policy": {"analysis": {"executor": executor}},
    }
    (folder / "afdp.yml").write_text(yaml.safe_dump(content))
    return CliRunner().invoke(cli._afdp, ["check", f"--config.file={folder / 'afdp.yml'}", "--quick"])


def line(found: Result) -> str:
    (only,) = [each for each in found.output.splitlines() if each.startswith("executor ")]
    return only


def test_a_cluster_with_a_worker_is_well(own_cluster: Cluster, tmp_path: Path) -> None:
    own_cluster.worker()
    found = check(tmp_path, {"kind": "dask", "address": own_cluster.address})
    assert (
        line(found) == f"executor dask: a worker of {own_cluster.address} does what it is given, and has our versions"
    )


def test_a_scheduler_that_is_away_is_named(tmp_path: Path) -> None:
    found = check(tmp_path, {"kind": "dask", "address": "tcp://127.0.0.1:1"})
    assert line(found).startswith("executor dask: the Dask scheduler at tcp://127.0.0.1:1 is away")
    assert found.exit_code == 1


def test_the_processes_of_this_machine_have_no_line(tmp_path: Path) -> None:
    assert "executor" not in check(tmp_path, {"kind": "processes"}).output

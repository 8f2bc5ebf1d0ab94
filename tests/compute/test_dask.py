"""What the engine `dask` promises beside what every engine does: versions, deaths of workers, and where it may be."""

import asyncio
import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from afdp_exporter.compute import ComputePool
from afdp_exporter.compute.opening import open_compute
from afdp_exporter.compute.settings import Certificates, Dask
from afdp_exporter.errors import AnalysisError, ConfigError, EngineUnavailable
from afdp_exporter.settings import parse
from compute.clusters import Cluster

LATE = timedelta(seconds=60)


def engine_of(cluster: Cluster, workers: int = 1) -> ComputePool:
    return open_compute(workers=workers, engine=cluster.engine)


def tell_and_hang_the_first_time(told: Path, marker: Path) -> str:
    """Writes the worker's pid and its own, and ends only when it is made again."""
    if marker.exists():
        return "again"
    marker.touch()
    told.write_text(f"{os.getppid()} {os.getpid()}")
    time.sleep(3600)
    return "first"


def wait_for(pipe: Path) -> str:
    return pipe.read_text()


def die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def kill_the_worker() -> None:
    os.kill(os.getppid(), signal.SIGKILL)


def tell_where(number: int) -> tuple[int, int]:
    return number, os.getppid()


async def test_the_work_of_a_worker_that_is_killed_is_done_by_another_one(own_cluster: Cluster, tmp_path: Path) -> None:
    told, marker = tmp_path / "told", tmp_path / "marker"
    os.mkfifo(told)
    for _ in range(2):
        own_cluster.worker(nanny=False)
    compute = engine_of(own_cluster)
    hanging = asyncio.ensure_future(compute.run(tell_and_hang_the_first_time, told, marker, deadline=LATE))
    worker, child = map(int, (await asyncio.to_thread(told.read_text)).split())
    os.kill(worker, signal.SIGKILL)
    try:
        assert await hanging == "again"
    finally:
        os.kill(child, signal.SIGKILL)
        await compute.close()


async def test_what_kills_its_process_fails_alone_and_the_rest_of_its_batch_goes_on(
    cluster: Cluster, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    compute = engine_of(cluster)
    first = asyncio.ensure_future(compute.run(wait_for, pipe, deadline=LATE, group="api"))  # the others wait meanwhile
    batch = asyncio.gather(
        compute.run(tell_where, 1, deadline=LATE, group="api"),
        compute.run(die, deadline=LATE, group="api"),
        compute.run(time.sleep, 3600, deadline=timedelta(seconds=0.2), group="api"),
        compute.run(tell_where, 2, deadline=LATE, group="api"),
        return_exceptions=True,
    )
    await asyncio.to_thread(pipe.write_text, "go")
    assert await first == "go"
    one, dead, late, two = await batch
    assert isinstance(one, tuple)
    assert (one, two) == ((1, one[1]), (2, one[1])), "all of them went to the same worker"
    assert isinstance(dead, AnalysisError)
    assert "died" in str(dead)
    assert isinstance(late, AnalysisError)
    assert "longer than 0.2 s" in str(late)
    await compute.close()


async def test_what_kills_worker_after_worker_is_found_out_and_the_rest_of_its_batch_is_answered(
    own_cluster: Cluster, tmp_path: Path
) -> None:
    own_cluster.end()
    own_cluster.scheduler(env={"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"})
    own_cluster.worker()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    compute = engine_of(own_cluster)
    first = asyncio.ensure_future(compute.run(wait_for, pipe, deadline=LATE))
    batch = asyncio.gather(
        compute.run(abs, -3, deadline=LATE),
        compute.run(kill_the_worker, deadline=LATE),
        compute.run(abs, -4, deadline=LATE),
        return_exceptions=True,
    )
    await asyncio.to_thread(pipe.write_text, "go")
    assert await first == "go"
    three, killer, four = await batch
    assert (three, four) == (3, 4)
    assert isinstance(killer, AnalysisError)
    assert "workers of the analysis died" in str(killer)
    await compute.close()


async def test_a_worker_with_other_versions_judges_nothing_and_is_named(own_cluster: Cluster, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "numpy-0.1.dist-info").mkdir(parents=True)
    (other / "numpy-0.1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.1\n")
    wrong = own_cluster.worker(env={"PYTHONPATH": f"{other}:{Path(__file__).parent.parent}"}, nanny=False)
    compute = engine_of(own_cluster)
    with pytest.raises(EngineUnavailable, match=r"the Dask worker on .* has numpy 0\.1, not"):
        await compute.run(abs, -3, deadline=LATE)
    wrong.kill()
    wrong.wait()
    own_cluster.worker(nanny=False)
    assert await compute.run(abs, -3, deadline=LATE) == 3
    await compute.close()


async def test_work_waits_for_the_first_worker(own_cluster: Cluster) -> None:
    compute = engine_of(own_cluster)
    waiting = asyncio.ensure_future(compute.run(abs, -3, deadline=LATE))
    own_cluster.worker(nanny=False)
    assert await waiting == 3
    await compute.close()


async def test_a_scheduler_that_is_gone_lets_work_be_asked_again_and_one_that_is_back_is_found(
    own_cluster: Cluster, tmp_path: Path
) -> None:
    told, marker = tmp_path / "told", tmp_path / "marker"
    os.mkfifo(told)
    own_cluster.worker(nanny=False)
    compute = engine_of(own_cluster)
    hanging = asyncio.ensure_future(compute.run(tell_and_hang_the_first_time, told, marker, deadline=LATE))
    _, child = map(int, (await asyncio.to_thread(told.read_text)).split())
    port = int(own_cluster.address.rpartition(":")[2])
    for process in own_cluster.processes:
        process.kill()
        process.wait()
    os.kill(child, signal.SIGKILL)
    with pytest.raises(EngineUnavailable, match="is away"):
        await hanging
    own_cluster.scheduler(port)
    own_cluster.worker(nanny=False)
    assert await compute.run(abs, -3, deadline=LATE) == 3
    await compute.close()


async def test_a_cluster_with_certificates_is_asked_by_who_has_one(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    files = Certificates(ca_file=tmp_path / "ca.pem", cert_file=tmp_path / "cert.pem", key_file=tmp_path / "key.pem")
    guarded = Cluster(tmp_path, certificates=files)
    guarded.scheduler()
    try:
        guarded.worker(nanny=False)
        compute = engine_of(guarded)
        assert await compute.run(abs, -3, deadline=LATE) == 3
        await compute.close()
        without = open_compute(workers=1, engine=Dask(kind="dask", address=guarded.address.replace("tls://", "tcp://")))
        with pytest.raises(EngineUnavailable, match="is away"):
            await without.run(abs, -3, deadline=LATE)
        await without.close()
    finally:
        guarded.end()


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        ({"address": "scheduler:8786"}, "such as tls://scheduler:8786 is expected"),
        ({"address": "tcp://scheduler:8786"}, "say private_network: true"),
        ({"address": "tls://scheduler:8786"}, "tls_config is needed"),
        ({"address": "tcp://127.0.0.1:8786", "batch": 0}, "batch"),
    ],
)
def test_an_address_that_would_let_anybody_run_code_is_refused(block: dict[str, object], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        parse(Dask, {"kind": "dask", **block}, "policy.analysis.executor")


@pytest.mark.parametrize(
    "block",
    [
        {"address": "tcp://127.0.0.1:8786"},
        {"address": "tcp://[::1]:8786"},
        {"address": "tcp://scheduler:8786", "private_network": True},
    ],
)
def test_an_address_of_this_machine_or_a_private_network_needs_no_tls(block: dict[str, object]) -> None:
    assert parse(Dask, {"kind": "dask", **block}, "policy.analysis.executor").batch == 4

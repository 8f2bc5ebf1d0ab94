"""Two versions on one PostgreSQL: one process after the other is replaced, while deployments come in all the time."""

import random
import shutil
import threading
from pathlib import Path

import pytest

import afdp_exporter
from afdp_exporter.store.postgresql.schema import shipped
from real_parts.fixtures import Start
from real_parts.receiver import Receiver
from real_parts.waiting import until
from replicas import Audit, Replica, Traffic, drained, hold_to_the_promises, record_calm, settings

PACKAGE = Path(afdp_exporter.__file__).parent
FURTHER = "-- works with: {}\n\nCREATE TABLE further (id bigint);\nALTER TABLE deployments ADD COLUMN further bigint;\n"


@pytest.fixture
def versions(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """The packages of an earlier and of a later version.

    They are the one that is named and this one, or this one and one whose tables have become more.
    """
    named = request.config.getoption("--earlier-version")
    if named is not None:
        return Path(named).resolve() / PACKAGE.name, PACKAGE
    later = tmp_path / "later" / PACKAGE.name
    shutil.copytree(PACKAGE, later, ignore=shutil.ignore_patterns("__pycache__"))
    newest = shipped()[-1].number
    (later / f"store/postgresql/migrations/{newest + 1:04}_further.sql").write_text(FURTHER.format(newest))
    return PACKAGE, later


def _install(replica: Replica, package: Path) -> None:
    """The package that a process finds first is the one in the folder that it runs in."""
    replica.folder.mkdir(exist_ok=True)
    link = replica.folder / package.name
    link.unlink(missing_ok=True)
    link.symlink_to(package, target_is_directory=True)


@pytest.mark.slow
def test_no_event_is_lost_while_one_process_after_the_other_is_replaced(
    tmp_path: Path, audit: Audit, start: Start, versions: tuple[Path, Path]
) -> None:
    earlier, later = versions
    record_calm(tmp_path / "tape")
    with Receiver() as receiver:
        config = settings(tmp_path / "tape", receiver.url)
        serving = [Replica(tmp_path / f"serve-{n}", config, audit.url) for n in range(3)]
        analyst = Replica(tmp_path / "analyse", config, audit.url, command="analyse")
        for replica in (*serving, analyst):
            _install(replica, earlier)
            start(replica)
        traffic = Traffic(serving, audit, random.Random(1))
        sending = threading.Thread(target=traffic.run, daemon=True)
        sending.start()
        for replica in (*serving, analyst):
            so_far = len(traffic.acknowledged)
            replica.end()
            _install(replica, later)
            replica.start()
            until(lambda so_far=so_far: len(traffic.acknowledged) >= so_far + 5)  # type: ignore[misc]
            assert audit.faults() == []
            assert traffic.faults == []
        traffic.end()
        sending.join()
        drained(audit)
        hold_to_the_promises(serving, audit, traffic, receiver)
        known = audit.count("SELECT max(number) FROM schema_version")
        assert known == len(list((later / "store/postgresql/migrations").glob("*.sql")))

"""A disk that fails at any call, once or for a while: what was accepted is kept, and work goes on without a start."""

import itertools
import random
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from afdp_exporter.errors import StoreError
from afdp_exporter.model import Deployment, Impact, Look
from afdp_exporter.store.sqlite import SQLiteStore
from faulty_disk import Call, FaultyDisk, Trouble, faulty

DEPLOYMENTS = 12
Makers = tuple[Callable[..., Deployment], Callable[..., Look], Callable[..., Impact]]


@pytest.fixture
def makers(deployment: Callable[..., Deployment], look: Callable[..., Look], impact: Callable[..., Impact]) -> Makers:
    """What makes a deployment, a look and an impact."""
    return deployment, look, impact


@pytest.fixture
async def template(tmp_path: Path, makers: Makers) -> Path:
    """A folder with a store that was closed in order."""
    folder = tmp_path / "template"
    folder.mkdir()
    store = await SQLiteStore.open(folder / "store.db")
    await store.deployments.record(makers[0]("before"), (makers[1]("before"),))
    await store.close()
    return folder


@dataclass
class Session:
    """Some minutes of work on one disk, killed at its end, the power with it."""

    disk: FaultyDisk
    makers: Makers
    synchronous: str = "FULL"
    acked: set[str] = field(default_factory=lambda: {"before"})
    refusals: list[StoreError] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """Of the store."""
        return self.disk.folder / "store.db"

    async def work(self, prefix: str) -> None:
        """Record, change and judge deployments; what is refused is sent again, at most once."""
        deployment, look, impact = self.makers
        for number in range(DEPLOYMENTS):
            name = f"{prefix}{number}"
            made = deployment(name, description="x" * 500)
            if await self._accepted(lambda made=made, name=name: self.store.deployments.record(made, (look(name),))):
                self.acked.add(name)
                judged = look(name, state="done", done_at=look(name).due_at)
                await self._accepted(lambda judged=judged, name=name: self.store.looks.finish(judged, impact(name)))

    async def run(self) -> "Session":
        """Open, work, mend the disk, work on, lose the power, open again: nothing is lost."""
        try:
            self.store = await SQLiteStore.open(self.path)
        except StoreError as error:
            self.refusals.append(error)
            self.disk.strikes = lambda _: None
            self.store = await SQLiteStore.open(self.path)
        self.store._writer._connection.execute("PRAGMA wal_autocheckpoint = 60")
        self.store._writer._connection.execute(f"PRAGMA synchronous = {self.synchronous}")
        await self.work("d")
        assert self.store.healthy
        self.disk.strikes = lambda _: None
        before = len(self.refusals)
        await self.work("after")
        assert len(self.refusals) == before
        assert await self.stored() >= self.acked
        self.disk.is_dead = True
        await self.store.close()
        self.disk.is_dead = False
        self.disk.cut_power()
        self.store = await SQLiteStore.open(self.path)
        assert await self.stored() >= self.acked
        await self.store.close()
        assert not [error for error in self.refusals if "\n" in str(error)]
        return self

    async def stored(self) -> set[str]:
        """Every id."""
        return {each.id for each in (await self.store.deployments.page(limit=1000)).deployments}

    async def _accepted(self, operation: Callable[[], object]) -> bool:
        for _ in range(2):
            try:
                await operation()  # type: ignore[misc]
            except StoreError as error:
                self.refusals.append(error)
            else:
                return True
        return False


Run = Callable[..., Awaitable[Session]]


@pytest.fixture
def run(tmp_path: Path, template: Path, makers: Makers) -> Run:
    """Runs a session on a disk of its own; the seed says what of it a cut leaves."""
    numbers = itertools.count()

    async def go(
        strikes: Callable[[Call], Trouble | None] = lambda _: None, seed: str = "", synchronous: str = "FULL"
    ) -> Session:
        folder = tmp_path / str(next(numbers))
        shutil.copytree(template, folder)
        with faulty(FaultyDisk(folder, strikes, random.Random(seed))) as disk:
            return await Session(disk, makers, synchronous).run()

    return go


@pytest.mark.parametrize("count", [4, pytest.param(600, marks=pytest.mark.slow)])
@pytest.mark.parametrize("trouble", Trouble)
async def test_a_call_that_fails_costs_nothing_that_was_accepted(run: Run, trouble: Trouble, count: int) -> None:
    calls = (await run()).disk.calls
    points = random.Random(f"{trouble} {count}").sample(range(1, calls + 1), count)
    for point in points:
        await run(lambda call, point=point: trouble if call.number == point else None, str(point))


@pytest.mark.parametrize("count", [3, pytest.param(200, marks=pytest.mark.slow)])
async def test_a_disk_that_is_away_for_a_while_is_gone_on_with_afterwards(run: Run, count: int) -> None:
    refused = 0
    for number in range(count):
        chance = random.Random(f"away {number}")
        first, share = chance.randrange(1, 800), chance.choice([0.02, 0.3, 1.0])
        lasts, kinds = chance.randrange(100, 400), chance.sample(list(Trouble), 2)

        def strikes(call: Call) -> Trouble | None:
            away = first <= call.number < first + lasts and chance.random() < share  # noqa: B023
            return chance.choice(kinds) if away else None  # noqa: B023

        refused += len((await run(strikes, str(number))).refusals)
    assert refused


async def test_what_is_not_synced_before_it_is_answered_would_be_missed(run: Run) -> None:
    async def some() -> None:
        for number in range(10):
            await run(seed=str(number), synchronous="NORMAL")

    with pytest.raises(AssertionError):
        await some()


class _Nothing(random.Random):
    def choice(self, _: Sequence[float]) -> float:  # type: ignore[override]
        """Of what is not synced nothing survives."""
        return 0.0


async def test_who_works_on_what_waits_for_no_disk_and_is_on_it_with_the_next_deployment(
    tmp_path: Path, makers: Makers
) -> None:
    deployment, look, _ = makers
    synced = list[str]()

    def strikes(call: Call) -> None:
        if call.what == "sync":
            synced.append(call.file)

    with faulty(FaultyDisk(tmp_path, strikes, _Nothing())) as disk:
        store = await SQLiteStore.open(tmp_path / "store.db")
        await store.deployments.record(deployment("d1"), (look("d1"),))
        due = look("d1").due_at
        synced.clear()
        [job] = await store.jobs.claim("check", due, owner="one", limit=1, lease=timedelta(minutes=1))
        assert await store.jobs.finish(job)
        assert not synced
        await store.deployments.record(deployment("d2"), (look("d2"),))
        assert synced == ["store.db-wal"]
        disk.is_dead = True
        await store.close()
        disk.is_dead = False
        disk.cut_power()
        store = await SQLiteStore.open(tmp_path / "store.db")
        left = await store.jobs.claim("check", due, owner="two", limit=9, lease=timedelta(minutes=1))
        assert [each.key.partition("/")[0] for each in left] == ["d2"]
        await store.close()

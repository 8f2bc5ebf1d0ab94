"""Jobs are done when they are due, whatever happens in one of them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from afdp_exporter.errors import SourceError, StoreError
from afdp_exporter.jobs import Kind, Next, Settled, backoff
from afdp_exporter.jobs.runner import LEASE, Runner
from afdp_exporter.store import Job, NewJob, Store
from afdp_exporter.store.memory import MemoryStore
from afdp_exporter.store.opening import open_store, url_of_file

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(params=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An open, empty store of each kind."""
    opened = await open_store("memory:" if request.param == "memory" else url_of_file(tmp_path / "afdp.db"))
    yield opened
    await opened.close()


class Work:
    """Takes down what it does, after failing as often as it is asked to."""

    def __init__(self, *failures: Exception, then: Next = None) -> None:
        self.failures, self.then = list(failures), then
        self.done: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, job: Job) -> Next:
        if self.failures:
            raise self.failures.pop(0)
        self.done.put_nowait(job.key)
        return self.then


@asynccontextmanager
async def running(runner: Runner) -> AsyncIterator[None]:
    """A runner at work as long as the block lasts; what does not come in ten seconds does not come."""
    task = asyncio.create_task(runner.run())
    async with asyncio.timeout(10):
        yield
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def enqueue(store: Store, *keys: str, at: datetime = NOON, lane: str = "") -> None:
    """Jobs that are due then."""
    await store.jobs.enqueue(*(NewJob(kind="k", key=key, due_at=at, lane=lane) for key in keys))


async def test_who_is_called_takes_what_is_new_and_what_is_known_to_come_is_done_when_it_is_due(store: Store) -> None:
    work = Work()
    runner = Runner(store, Kind(name="k", run=work), clock=now)
    async with running(runner):
        await enqueue(store, "new")
        runner.wake()
        assert await work.done.get() == "new"
        due_at = now() + timedelta(seconds=0.2)
        await enqueue(store, "later", at=due_at)
        runner.wake()
        assert await work.done.get() == "later"
        assert now() >= due_at
    assert await store.jobs.next_at(["k"]) == {}


async def test_a_job_is_due_again_when_it_says_so(store: Store) -> None:
    await enqueue(store, "a")
    assert await Runner(store, Kind(name="k", run=Work(then=NOON + 5 * MINUTE)), clock=lambda: NOON).drain()
    assert await store.jobs.next_at(["k"]) == {"k": NOON + 5 * MINUTE}


async def test_what_a_job_settles_itself_is_left_alone(store: Store) -> None:
    await enqueue(store, "a")

    async def settle(job: Job) -> Next:
        await store.jobs.postpone(job, NOON + MINUTE, "later")
        return Settled.SETTLED

    await Runner(store, Kind(name="k", run=settle), clock=lambda: NOON).drain()
    assert await store.jobs.next_at(["k"]) == {"k": NOON + MINUTE}


@pytest.mark.parametrize("error", [SourceError("away", "it is away"), RuntimeError("unforeseen")])
async def test_a_job_that_fails_is_tried_again_later_and_stops_no_other(
    store: Store, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    await enqueue(store, "a", "b")
    work, at = Work(error, error), NOON
    runner = Runner(store, Kind(name="k", run=work), clock=lambda: at)
    await runner.drain()
    assert work.done.qsize() == 0
    at += backoff(0)
    await runner.drain()
    assert sorted([work.done.get_nowait(), work.done.get_nowait()]) == ["a", "b"]
    assert capsys.readouterr().out.count("job failed") == 2


async def test_what_fails_for_the_same_reason_is_reported_once(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    await enqueue(store, "a")
    at = NOON
    runner = Runner(store, Kind(name="k", run=Work(*[SourceError("away", "it is away")] * 3)), clock=lambda: at)
    for attempts in range(3):
        await runner.drain()
        at += backoff(attempts)
    assert capsys.readouterr().out.count("job failed") == 1


def test_what_could_not_be_done_waits_longer_each_time_and_never_long() -> None:
    waits = [backoff(attempts) for attempts in range(40)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (timedelta(seconds=15), timedelta(minutes=5))


async def test_a_slow_job_holds_up_no_other(store: Store) -> None:
    go_on, done = asyncio.Event(), list[str]()

    async def work(job: Job) -> Next:
        if job.key == "slow":
            await go_on.wait()
        done.append(job.key)
        if len(done) == 5:
            go_on.set()
        return None

    await enqueue(store, "slow", *(f"{number}" for number in range(5)))
    async with asyncio.timeout(10):
        await Runner(store, Kind(name="k", run=work, slots=lambda: 2), clock=lambda: NOON).drain()
    assert done == ["0", "1", "2", "3", "4", "slow"]


async def test_no_more_is_under_way_than_there_are_slots_nor_of_a_lane_than_may_be(store: Store) -> None:
    for lane in "ab":
        await enqueue(store, *(f"{lane}{number}" for number in range(10)), lane=lane)
    under_way, most = Counter[str](), Counter[str]()

    async def work(job: Job) -> Next:
        under_way[job.lane] += 1
        most[job.lane] = max(most[job.lane], under_way[job.lane])
        most["all"] = max(most["all"], under_way.total())
        await asyncio.sleep(0)
        under_way[job.lane] -= 1
        return None

    await Runner(store, Kind(name="k", run=work, slots=lambda: 3, per_lane=2), clock=lambda: NOON).drain()
    assert (most["a"] <= 2, most["b"] <= 2, most["all"]) == (True, True, 3)
    assert await store.jobs.next_at(["k"]) == {}


async def test_two_runners_on_one_store_never_hold_the_same_job(store: Store) -> None:
    await enqueue(store, *map(str, range(200)))
    held, done = set[str](), Counter[str]()

    async def work(job: Job) -> Next:
        assert job.key not in held
        held.add(job.key)
        await asyncio.sleep(0)
        held.remove(job.key)
        done[job.key] += 1
        return None

    runners = [Runner(store, Kind(name="k", run=work, slots=lambda: 4), clock=lambda: NOON) for _ in range(2)]
    await asyncio.gather(*(runner.drain() for runner in runners))
    assert done == Counter({str(number): 1 for number in range(200)})


async def test_five_hundred_at_once_are_done_in_the_order_of_their_due_times_and_single_ones_are_not_starved(
    store: Store,
) -> None:
    for number in range(500):
        await enqueue(store, f"bulk {number:03}", at=NOON + number * timedelta(seconds=1), lane="bulk")
    done: list[str] = []

    async def work(job: Job) -> Next:
        done.append(job.key)
        if len(done) in {100, 200, 300}:  # one that comes in while the bulk is worked on, and is due after all of it
            await enqueue(store, f"single {len(done)}", at=NOON + timedelta(hours=1), lane=f"service {len(done)}")
        return None

    await Runner(store, Kind(name="k", run=work, slots=lambda: 4), clock=lambda: NOON + timedelta(hours=2)).drain()
    bulk = [key for key in done if key.startswith("bulk")]
    assert bulk == sorted(bulk)
    assert len(bulk) == 500
    for number in (100, 200, 300):
        assert done.index(f"single {number}") < number + 10


async def test_what_is_broken_off_is_done_again(store: Store) -> None:
    begun: asyncio.Queue[str] = asyncio.Queue()

    async def work(job: Job) -> Next:
        begun.put_nowait(job.key)
        await asyncio.Event().wait()
        return None

    await enqueue(store, "a")
    runner = Runner(store, Kind(name="k", run=work), clock=now)
    async with running(runner):
        assert await begun.get() == "a"
        await runner.restart("k")
        assert await begun.get() == "a"
    assert (await store.jobs.next_at(["k"]))["k"] == NOON  # it was given back at the end


async def test_a_heartbeat_holds_a_job_that_takes_longer_than_its_lease(store: Store) -> None:
    lease = timedelta(seconds=3)
    begun, go_on, done = asyncio.Event(), asyncio.Event(), list[str]()

    async def work(_: Job) -> Next:
        done.append("begun")
        begun.set()
        await go_on.wait()
        return None

    await enqueue(store, "a")
    first, second = (Runner(store, Kind(name="k", run=work), clock=now, lease=lease) for _ in range(2))
    async with running(first):
        await begun.wait()
        until = (await store.jobs.next_at(["k"]))["k"]
        while now() < until:
            assert not await second.drain()
            await asyncio.sleep(0)  # the store in memory never lets others have a turn
        go_on.set()
    assert done == ["begun"]


@pytest.mark.parametrize("late", [LEASE - timedelta(seconds=1), LEASE, 20 * LEASE])
async def test_who_stood_still_or_whose_clock_was_set_does_not_begin_its_own_work_anew(
    store: Store, late: timedelta
) -> None:
    at, begun, go_on = NOON, asyncio.Event(), asyncio.Event()
    done = list[str]()

    async def work(job: Job) -> Next:
        done.append(job.key)
        if job.key == "slow":
            begun.set()
            await go_on.wait()
        return None

    await enqueue(store, "slow")
    runner = Runner(store, Kind(name="k", run=work, slots=lambda: 2), clock=lambda: at)
    async with asyncio.timeout(10):
        working = asyncio.create_task(runner.drain())
        await begun.wait()
        at += late
        await enqueue(store, "next")
        await runner._take()
        go_on.set()
        await working
    assert done == ["slow", "next"]
    assert await store.jobs.next_at(["k"]) == {}


class Late(MemoryStore):
    """A store at which the first heartbeat arrives late, whatever came after it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.goes_on, self.arrived = asyncio.Event(), asyncio.Event(), asyncio.Event()
        jobs, late = self.jobs, self

        class Jobs(type(jobs)):  # type: ignore[misc]
            async def heartbeat(self, *asked: object) -> int:
                if late.asked.is_set():
                    return await jobs.heartbeat(*asked)  # type: ignore[arg-type]
                late.asked.set()
                await late.goes_on.wait()
                try:
                    return await jobs.heartbeat(*asked)  # type: ignore[arg-type]
                finally:
                    late.arrived.set()

            async def next_at(self, *asked: object) -> dict[str, datetime]:
                if late.goes_on.is_set():
                    await late.arrived.wait()
                return await jobs.next_at(*asked)  # type: ignore[arg-type]

        self.jobs = Jobs(jobs._data)


async def test_a_heartbeat_that_arrives_late_gives_up_nothing_that_is_under_way() -> None:
    store, at, begun, go_on, done = Late(), NOON, asyncio.Event(), asyncio.Event(), list[str]()

    async def work(job: Job) -> Next:
        done.append(job.key)
        begun.set()
        await go_on.wait()
        return None

    await enqueue(store, "slow")
    runner = Runner(store, Kind(name="k", run=work, slots=lambda: 2), clock=lambda: at)
    async with asyncio.timeout(10):
        working = asyncio.create_task(runner.drain())
        await begun.wait()
        beat = asyncio.create_task(runner._hold())
        await store.asked.wait()
        at += 20 * LEASE  # the process stood still
        asyncio.get_running_loop().call_soon(store.goes_on.set)
        await asyncio.gather(runner._take(), beat)
        go_on.set()
        await working
    assert done == ["slow"]


class Away(MemoryStore):
    """A store that does not answer until it is asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        jobs, away = self.jobs, self
        self.answers = False

        class Jobs(type(jobs)):  # type: ignore[misc]
            async def next_at(self, *asked: object) -> dict[str, datetime]:
                away.asked.set()
                if not away.answers:
                    raise StoreError("the disk is full")
                return await jobs.next_at(*asked)  # type: ignore[arg-type]

        self.jobs = Jobs(jobs._data)


async def test_a_store_that_does_not_answer_does_not_end_the_work() -> None:
    store, work = Away(), Work()
    runner = Runner(store, Kind(name="k", run=work), clock=now)
    async with running(runner):
        await store.asked.wait()
        await enqueue(store, "a")
        store.answers = True
        runner.wake()
        assert await work.done.get() == "a"


class Slow(MemoryStore):
    """A store that takes a job for who has gone meanwhile, as a thread does that nobody can stop."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.goes_on = asyncio.Event(), asyncio.Event()
        jobs, slow = self.jobs, self

        class Jobs(type(jobs)):  # type: ignore[misc]
            async def claim(self, *asked: object, **words: object) -> list[Job]:
                async def take() -> list[Job]:
                    slow.asked.set()
                    await slow.goes_on.wait()
                    return await jobs.claim(*asked, **words)  # type: ignore[arg-type]

                return await asyncio.shield(asyncio.ensure_future(take()))

        self.jobs = Jobs(jobs._data)


async def test_what_is_taken_while_a_runner_ends_is_given_back_too() -> None:
    store = Slow()
    await enqueue(store, "a")
    task = asyncio.create_task(Runner(store, Kind(name="k", run=Work()), clock=now).run())
    await store.asked.wait()
    task.cancel()
    asyncio.get_running_loop().call_later(0, store.goes_on.set)
    await asyncio.gather(task, return_exceptions=True)
    assert await store.jobs.next_at(["k"]) == {"k": NOON}

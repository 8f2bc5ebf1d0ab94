"""Many operations share a commit; none of them can harm another, the file or the thread."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from afdp_exporter.errors import StoreError
from afdp_exporter.store.sql import changes
from afdp_exporter.store.sqlite.connection import Connection, open_reader, open_writer
from afdp_exporter.store.sqlite.writer import Writer


@pytest.fixture
async def connection(path: Path) -> Connection:
    """The writing connection to a file with one small table, to see what each commit holds."""
    opened = open_writer(path)
    opened.execute("CREATE TABLE notes (number INTEGER PRIMARY KEY) STRICT")
    return opened


@pytest.fixture
async def writer(connection: Connection) -> AsyncIterator[Writer]:
    """A writer over it."""
    started = Writer(connection)
    yield started
    await asyncio.to_thread(started.close)


def note(number: object) -> Callable[[Connection], object]:
    """An operation that keeps one number; the same one twice, or no number at all, is an error of SQLite."""
    return lambda connection: connection.execute("INSERT INTO notes VALUES (?)", (number,)).lastrowid


def fail(connection: Connection) -> None:
    """An operation that writes and then raises an error of its own."""
    note(-1)(connection)
    raise ZeroDivisionError


def notes(path: Path) -> list[int]:
    """What another connection sees, which is what was committed."""
    reader = open_reader(path)
    numbers = [row["number"] for row in reader.execute("SELECT number FROM notes ORDER BY number")]
    reader.close()
    return numbers


async def all_at_once(writer: Writer, *work: Callable[[Connection], object]) -> list[object]:
    """The answers, or errors, of operations that all waited while the writer was busy: they share their commits."""
    return await after_a_pause(writer, *map(writer.write, work))


async def after_a_pause(writer: Writer, *operations: Coroutine[Any, Any, object]) -> list[object]:
    """The same of operations that are not only work of their own."""
    begun, gate = threading.Event(), threading.Event()

    def wait(_: Connection) -> None:
        begun.set()
        gate.wait()

    busy = asyncio.create_task(writer.write(wait))
    await asyncio.to_thread(begun.wait)
    waiting = [asyncio.create_task(operation) for operation in operations]
    await asyncio.sleep(0)
    gate.set()
    await busy
    return await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_bad_operation_in_a_batch_of_256_harms_only_itself(writer: Writer, path: Path) -> None:
    work = [note(number) for number in range(256)]
    work[17], work[100], work[200] = fail, note("no number"), note(199)
    answers = await all_at_once(writer, *work)
    bad = {number: type(answer) for number, answer in enumerate(answers) if isinstance(answer, BaseException)}
    assert bad == {17: ZeroDivisionError, 100: StoreError, 200: StoreError}
    assert notes(path) == [number for number in range(256) if number not in bad]
    assert await writer.write(note(1000)) == 1000
    assert writer.alive


async def test_who_follows_hears_of_a_commit_before_who_made_it_is_answered(writer: Writer) -> None:
    heard = list[str]()

    async def follow() -> None:
        await writer.written.wait()
        heard.append("follower")

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    await writer.write(note(1))
    heard.append("writer")
    await following
    assert heard == ["follower", "writer"]


async def test_operations_of_one_kind_are_done_together_and_each_has_its_own_answer(writer: Writer, path: Path) -> None:
    calls: list[int] = []

    def keep_all(connection: Connection, numbers: Sequence[int]) -> list[int]:
        calls.append(len(numbers))
        return [number for number in numbers if note(number)(connection)]

    together = [writer.write_together(keep_all, number) for number in range(1, 6)]
    more = [writer.write_together(keep_all, number) for number in range(7, 10)]
    assert await after_a_pause(writer, *together, writer.write(note(6)), *more) == [*range(1, 10)]
    assert calls == [5, 3]
    assert notes(path) == [*range(1, 10)]


async def test_a_bad_operation_among_those_that_are_done_together_harms_only_itself(
    writer: Writer, path: Path, connection: Connection
) -> None:
    def keep_all(connection: Connection, numbers: Sequence[object]) -> list[object]:
        connection.append_changes("note", *map(str, numbers))
        return [note(number)(connection) for number in numbers]

    given = [1, 2, "no number", 3]
    answers = await after_a_pause(writer, *(writer.write_together(keep_all, number) for number in given))
    assert [answer if isinstance(answer, int) else type(answer) for answer in answers] == [1, 2, StoreError, 3]
    assert notes(path) == [1, 2, 3]
    assert [change.id for change in writer.recent.since(0) or ()] == ["1", "2", "3"]


async def test_what_is_remembered_of_the_changes_is_what_the_file_holds(
    writer: Writer, path: Path, connection: Connection
) -> None:
    def change(name: str) -> Callable[[Connection], None]:
        def append(connection: Connection) -> None:
            connection.append_changes("note", name, f"{name}, too")
            if name == "bad":
                fail(connection)

        return append

    await all_at_once(writer, *map(change, ["a", "bad", "b"]))
    await all_at_once(writer, *map(change, ["bad", "bad"]))
    await all_at_once(writer, change("c"))
    reader = open_reader(path)
    stored = changes.since(reader, 0, 100)
    assert [each.id for each in stored] == ["a", "a, too", "b", "b, too", "c", "c, too"]
    assert writer.recent.since(0) == stored
    assert writer.recent.since(stored[2].seq) == stored[3:]
    assert writer.recent.newest == reader.last_change() == stored[-1].seq
    reader.close()


async def test_an_operation_that_is_answered_can_be_read_by_others(writer: Writer, path: Path) -> None:
    for number in range(20):
        await writer.write(note(number))
        assert notes(path)[-1] == number


async def test_operations_that_come_together_share_commits(writer: Writer, path: Path, connection: Connection) -> None:
    commits: list[str] = []
    connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    await all_at_once(writer, *(note(number) for number in range(1000)))
    assert len(notes(path)) == 1000
    assert len(commits) == 1 + 4


async def test_one_that_no_longer_waits_for_its_answer_does_not_stop_the_others(writer: Writer, path: Path) -> None:
    waiting = [asyncio.create_task(writer.write(note(number))) for number in range(10)]
    await asyncio.sleep(0)
    waiting[3].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert waiting[3].cancelled()
    assert await writer.write(note(99)) == 99
    assert notes(path) == [*range(10), 99]


async def test_a_commit_that_fails_fails_everyone_in_it_and_the_next_one_works(writer: Writer, path: Path) -> None:
    def refer_to_nobody(connection: Connection) -> None:
        connection.execute("PRAGMA defer_foreign_keys = ON")  # so that only the commit itself finds out
        connection.execute("INSERT INTO idempotency_keys VALUES ('key', 'nobody', 0)")

    answers = await all_at_once(writer, note(1), refer_to_nobody, note(2))
    assert [type(answer) for answer in answers] == [StoreError] * 3
    assert notes(path) == []
    assert await writer.write(note(3)) == 3
    assert notes(path) == [3]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_when_the_thread_itself_dies_everyone_hears_of_it_and_nobody_waits(writer: Writer, path: Path) -> None:
    answers = await all_at_once(writer, note(1), lambda _: sys.exit("the thread ends here"), note(2))
    assert [type(answer) for answer in answers] == [StoreError] * 3
    assert not writer.alive
    with pytest.raises(StoreError, match="closed"):
        await writer.write(note(3))
    assert notes(path) == []


async def test_closing_finishes_what_was_accepted_and_takes_nothing_more(connection: Connection, path: Path) -> None:
    writer = Writer(connection)
    waiting = [asyncio.create_task(writer.write(note(number))) for number in range(600)]
    await asyncio.sleep(0)
    await asyncio.to_thread(writer.close)
    assert await asyncio.gather(*waiting) == list(range(600))
    assert notes(path) == list(range(600))
    with pytest.raises(StoreError, match="closed"):
        await writer.write(note(1000))

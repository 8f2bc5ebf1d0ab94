"""What the SQL of the store needs of a database, and where SQLite and PostgreSQL have to be asked in different words.

Statements name their values `:name`, or `?` in order; whatever both databases understand alike is written once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from afdp_exporter.model import Deployment

S = TypeVar("S")
T = TypeVar("T")

Row: TypeAlias = Any
"""A row: its columns by name, or unpacked in order."""

Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The parts of statements that differ.

    `listed` is a query for the texts of a JSON array, `has_tags` a condition on annotations: both want the name of the
    value that holds the array. `walk` wants the name of the index that a statement is to use. `locked` keeps the rows
    of a query as they are until the transaction ends, `skip_locked` leaves out those that another one keeps. `lateral`
    says that a subquery may speak of the tables before it, without which a walk from place to place has to be written
    otherwise.
    """

    listed: str
    has_tags: str
    walk: str
    locked: str
    skip_locked: str
    lateral: bool
    keep_course: str


class Cursor(Protocol):
    """The rows that a statement gave."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Row: ...

    def fetchall(self) -> list[Row]: ...

    def __iter__(self) -> Iterator[Row]: ...


class Connection(Protocol):
    """A connection within a transaction, or one that reads."""

    @property
    def dialect(self) -> Dialect: ...

    def execute(self, statement: str, values: Parameters = (), /) -> Cursor: ...

    def executemany(self, statement: str, values: Iterable[Parameters], /) -> Cursor: ...

    def serialise(self, kind: str, key: str) -> None:
        """Until the transaction ends nobody else is past this call with the same words."""

    def append_changes(self, kind: str, *thing_ids: str, recorded: Sequence[Deployment] = ()) -> None:
        """Append to the changes, at the latest as the last act of the transaction.

        Where the things are deployments that come in, `recorded` are these: whoever follows need not read them.
        """

    def last_change(self) -> int:
        """The newest `seq` that was ever given."""

    def make_room_for_courses(self, deployment_id: str) -> None:
        """Have a place where the courses of this deployment are kept."""

    def forget_courses(self, before_us: int) -> int:
        """Forget the courses of deployments that ended before this; how many that were."""


class Writing(Protocol):
    """Runs what writes: each in a transaction."""

    async def write(self, work: Callable[[Connection], T], /, *, synced: bool = True) -> T:
        """Run `work`, and answer once its commit is on disk.

        What is not `synced` may be answered before that, and a power cut may undo it with whatever was written after
        it in the same way; it is on disk with the next commit that is synced.
        """

    async def write_together(self, work: Callable[[Connection, Sequence[S]], Sequence[T]], item: S, /) -> T:
        """As `write`, with whatever else waits for the same `work`, which answers each of its items in order.

        Where it raises, each item is tried by itself.
        """


class Reading(Protocol):
    """Runs what reads."""

    async def read(self, query: Callable[[Connection], T], /) -> T: ...

    async def look_up(self, query: Callable[[Connection], T], /) -> T:
        """As `read`, for what finds a few small rows by an index: where a file is at hand no thread is asked."""

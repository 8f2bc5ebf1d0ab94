"""Who may take how much of what all callers share: connections, bodies without proof, requests under way.

Whoever is refused learns at once when to come again, and is counted. Of those who let us wait, the one that has done so
the longest goes first, so that a caller who comes with its request is not held up by those who only hold things.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from afdp_exporter.errors import AFDPError

_CONNECTIONS = 1000
_OF_ADDRESS = 50
_UNPROVEN_BYTES = 16 * 1024**2
_AT_ONCE = 128  # requests of one lane

Refused = Callable[[str], None]
"""Counts what was refused, by a short word for the reason."""


class Overloaded(AFDPError):
    """Too much is under way; a little later it is taken."""


@dataclass(slots=True)
class _Caller:
    address: str
    abort: Callable[[], None]
    asked: bool = False


class Connections:
    """Who is connected, from where, and who of them lets us wait; a connection is any object of its own identity."""

    def __init__(self, refused: Refused, *, most: int = _CONNECTIONS, of_address: int = _OF_ADDRESS) -> None:
        self._refused = refused
        self._most = most
        self._most_of_address = of_address
        self._waiting: OrderedDict[object, _Caller] = OrderedDict()  # the longest first
        self._working: dict[object, _Caller] = {}
        self._of_address = Counter[str]()

    def limit(self, *, most: int, of_address: int) -> None:
        """Obey other limits from the next connection on."""
        self._most, self._most_of_address = most, of_address

    def enter(self, connection: object, address: str, abort: Callable[[], None]) -> bool:
        """Whether there is room for one more; for it the one that lets us wait the longest is aborted."""
        if self._of_address[address] >= self._most_of_address and not self._make_room("address_connections", address):
            return False
        if self._of_address.total() >= self._most and not self._make_room("connections"):
            return False
        self._waiting[connection] = _Caller(address, abort)
        self._of_address[address] += 1
        return True

    def leave(self, connection: object) -> None:
        """A connection is over."""
        caller = self._waiting.pop(connection, None) or self._working.pop(connection, None)
        if caller is not None:
            self._of_address[caller.address] -= 1
            if not self._of_address[caller.address]:
                del self._of_address[caller.address]

    def asked(self, connection: object) -> None:
        """Its first request has come in."""
        if connection in self._waiting:
            self._waiting[connection].asked = True

    def works(self, connection: object) -> None:
        """Its request is all there; from now on it waits for us."""
        if connection in self._waiting:
            self._working[connection] = self._waiting.pop(connection)

    def waits(self, connection: object) -> None:
        """We wait for it: for its next request, or until it has taken the answer."""
        if connection in self._working:
            self._waiting[connection] = self._working.pop(connection)

    def end_silent(self, connection: object) -> None:
        """Abort it if no request of it has come in."""
        caller = self._waiting.get(connection)
        if caller is not None and not caller.asked:
            self.end_slow(connection)

    def end_slow(self, connection: object) -> None:
        """Abort it, since it lets us wait for too long."""
        caller = self._waiting.get(connection) or self._working.get(connection)
        if caller is not None:
            self._refused("slow_connection")
            self.leave(connection)
            caller.abort()

    def _make_room(self, reason: str, address: str | None = None) -> bool:
        """End the one that lets us wait the longest, be it of one address; False where all wait for us."""
        self._refused(reason)
        waiting = (each for each, caller in self._waiting.items() if address in {None, caller.address})
        longest = next(waiting, None)
        if longest is None:
            return False
        caller = self._waiting[longest]
        self.leave(longest)
        caller.abort()
        return True


@dataclass(eq=False, slots=True)
class Held:
    """A body without proof: its bytes so far, and how long it may take to arrive; None once it is all there."""

    budget: "Bodies"
    size: int = 0
    arriving: asyncio.Timeout | None = None

    def grown(self, size: int, arriving: asyncio.Timeout) -> None:
        """So many bytes are there, and more may come. Raises Overloaded."""
        self.size, self.arriving = size, arriving
        self.budget.keep(self)

    def arrived(self) -> None:
        """Nothing more comes."""
        self.arriving = None


class Bodies:
    """Bodies whose sender has proven nothing yet: together they are no larger than a budget.

    Where it is used up, the one that was begun first is given up: an honest sender needs a moment for its body.
    """

    def __init__(self, refused: Refused, *, most: int = _UNPROVEN_BYTES) -> None:
        self._refused = refused
        self._most = most
        self._held: dict[Held, None] = {}  # the first one first

    @contextmanager
    def held(self) -> Iterator[Held]:
        """One more body, until it has proven itself or not."""
        body = Held(self)
        self._held[body] = None
        try:
            yield body
        finally:
            self._held.pop(body, None)

    def keep(self, newest: Held) -> None:
        """Keep to the budget when one has grown. Raises Overloaded where no other one is still arriving."""
        while sum(body.size for body in self._held) > self._most:
            first = next(body for body in self._held if body.arriving is not None)
            self._refused("unproven_bodies")
            if first is newest or first.arriving is None:
                raise Overloaded("more bodies without proof than are taken at once: come again in a few seconds")
            del self._held[first]
            first.arriving.reschedule(0)


class Work:
    """Connections whose requests are worked on, by lanes; beyond so many of one lane another one would only wait."""

    def __init__(self, *, at_once: int = _AT_ONCE) -> None:
        self._at_once = at_once
        self._lanes: dict[object, str] = {}
        self._counts = Counter[str]()

    def begin(self, connection: object, lane: str) -> None:
        """Its request is all there and allowed. Raises Overloaded."""
        if connection in self._lanes:
            return
        if self._counts[lane] >= self._at_once:
            raise Overloaded(f"{self._at_once} requests of this kind are under way: come again in a few seconds")
        self._lanes[connection] = lane
        self._counts[lane] += 1

    def end(self, connection: object) -> None:
        """Its request is answered, or refused."""
        lane = self._lanes.pop(connection, None)
        if lane is not None:
            self._counts[lane] -= 1


class Load:
    """All of it, for one exporter."""

    def __init__(self, refused: Refused) -> None:
        self.connections = Connections(refused)
        self.bodies = Bodies(refused)
        self._work = Work()

    def begin(self, connection: object, lane: str | None) -> None:
        """A request is all there, and allowed: its caller waits for us. Without a lane it is never shed.

        Raises Overloaded.
        """
        if lane is not None:
            self._work.begin(connection, lane)
        self.connections.works(connection)

    def end(self, connection: object) -> None:
        """A request is answered or refused: we wait for its caller."""
        self._work.end(connection)
        self.connections.waits(connection)

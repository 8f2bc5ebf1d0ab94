"""Users with bcrypt passwords: checked one at a time off the event loop, remembered once right, guessing slowed."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import bcrypt

from afdp_exporter.errors import AFDPError
from afdp_exporter.handlers.rates import LoginThrottle

_LONGEST = 72  # bytes: bcrypt knows no more
_WAITING = 8  # passwords that wait for their check at once, of which ...
_GUESSING = 6  # ... so many may come from addresses that were wrong lately


class TooMany(AFDPError):
    """Too many requests, or too many failed logins, from this address."""


class Passwords:
    """Checks passwords. Whoever is known already never waits for somebody who guesses, whoever is new not for long."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._failures = LoginThrottle(clock)
        self._checking = asyncio.Lock()
        self._waiting = 0
        self._key = secrets.token_bytes(32)
        self._right: dict[str, bytes] = {}  # user -> a keyed digest of the hash and the password that fit

    async def fits(self, users: Mapping[str, str], user: str, password: str, address: str) -> bool:
        """Whether it is this user's password. An unknown user costs the time of a known one. Raises TooMany."""
        known = users.get(user)
        digest = self._digest(known or "", password)
        if known is not None and secrets.compare_digest(self._right.get(user, b""), digest):
            return True
        if self._waiting >= (_GUESSING if self._failures.lately(address) else _WAITING):
            raise TooMany("too many logins wait for their check: try again in a minute")
        async with self._in_turn():
            if self._failures.too_many(address):
                raise TooMany("too many failed logins from this address: wait a minute")
            stands_in = known or next(iter(users.values()))
            right = await asyncio.to_thread(_fits, password, stands_in) and known is not None
            if not right:
                self._failures.note(address)
        if right:
            self._right[user] = digest
        return right

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        self._waiting += 1
        try:
            async with self._checking:
                yield
        finally:
            self._waiting -= 1

    def _digest(self, known: str, password: str) -> bytes:
        """Two parts of known length, so that no other pair of them has the same digest."""
        parts = hashlib.sha256(known.encode()).digest() + _encoded(password)
        return hashlib.blake2b(parts, key=self._key).digest()


def _fits(password: str, known: str) -> bool:
    given = _encoded(password)
    right = bcrypt.checkpw(given[:_LONGEST].replace(b"\0", b"\1"), known.encode())
    return right and len(given) <= _LONGEST and b"\0" not in given


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")

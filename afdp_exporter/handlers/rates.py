"""How often: a bucket for all requests, and a count of failed logins for each address."""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from afdp_exporter.settings import STRICT, Duration

_FAILURES = 10  # logins of one address that may fail ...
_FAILURES_WITHIN = 60.0  # ... within so many seconds
_ADDRESSES = 10_000  # that are remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """The block `rate_limit` of the web configuration: one request each `interval`, with bursts; 0s switches it off."""

    __pydantic_config__: ClassVar = STRICT

    interval: Duration
    burst: Annotated[int, Field(ge=1)] = 1


class TokenBucket:
    """A token bucket that starts full."""

    def __init__(self, limit: RateLimit, clock: Callable[[], float]) -> None:
        self._interval = limit.interval.total_seconds()
        self._burst = limit.burst
        self._clock = clock
        self._filled = float(limit.burst)
        self._at = clock()

    def take(self) -> bool:
        """Whether one more request fits now."""
        if not self._interval:
            return True
        now = self._clock()
        self._filled = min(self._filled + (now - self._at) / self._interval, self._burst)
        self._at = now
        if self._filled < 1:
            return False
        self._filled -= 1
        return True


class LoginThrottle:
    """Who has failed too often lately."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def note(self, address: str) -> None:
        """One more failure."""
        self._times.setdefault(address, deque(maxlen=_FAILURES)).append(self._clock())
        self._times.move_to_end(address)
        if len(self._times) > _ADDRESSES:
            self._times.popitem(last=False)

    def too_many(self, address: str) -> bool:
        """Whether this address has to wait."""
        times = self._times.get(address)
        return times is not None and len(times) == _FAILURES and self._clock() - times[0] < _FAILURES_WITHIN

    def lately(self, address: str) -> bool:
        """Whether this address has failed within the time that counts."""
        times = self._times.get(address)
        return times is not None and self._clock() - times[-1] < _FAILURES_WITHIN

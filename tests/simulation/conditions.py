"""What goes wrong, and when: drawn once from the seed, so that the same seed has the same faults."""

import random
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


class Fault(StrEnum):
    """What an episode does while it lasts."""

    CRASH = "crash"  # the process dies at its next step, or at a later one
    STOP = "stop"  # it is ended as SIGTERM does, and started again
    PAUSE = "pause"  # it stands still
    CLOCK = "clock"  # its wall clock is wrong
    STORE_FULL = "store_full"  # nothing can be written
    STORE_AWAY = "store_away"  # nothing can be written or read
    STORE_FLAKY = "store_flaky"  # one operation in five fails, some of them after they are on disk
    STORE_SLOW = "store_slow"  # an operation takes seconds
    DISK_FULL = "disk_full"  # no call to the disk that writes is done
    DISK_FAILS = "disk_fails"  # some are not, or in part
    SOURCE_AWAY = "source_away"
    SOURCE_HANGS = "source_hangs"  # until its deadline
    SOURCE_PARTIAL = "source_partial"  # one of its metrics cannot be asked
    SOURCE_LATE = "source_late"  # samples come minutes late; the last one is repeated meanwhile
    SAMPLES_MISSING = "samples_missing"  # nothing is measured
    RECEIVER_AWAY = "receiver_away"
    RECEIVER_LOSES = "receiver_loses"  # it has heard, and its answer is lost
    RECEIVER_HANGS = "receiver_hangs"
    RECEIVER_REFUSES = "receiver_refuses"
    FEED_FAILS = "feed_fails"  # at some event of its walk
    FEED_REPEATS = "feed_repeats"  # what it reported before


OF_A_FILE = frozenset({Fault.DISK_FULL, Fault.DISK_FAILS})
"""What can only happen to a store in a file."""

_LONGEST = {
    Fault.PAUSE: 2 * HOUR,
    Fault.STORE_FULL: 6 * HOUR,
    Fault.STORE_AWAY: 2 * HOUR,
    Fault.RECEIVER_HANGS: HOUR,
    Fault.SAMPLES_MISSING: 3 * HOUR,
    Fault.SOURCE_LATE: DAY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A fault from `begin` to before `end`; `size` (0 to 1) says how bad, `victim` (0 to 1) whom it strikes."""

    fault: Fault
    begin: float
    end: float
    size: float
    victim: float


@dataclass(slots=True)
class Conditions:
    """All episodes of a run, and those of this moment; after `until` there are none."""

    clock: Callable[[], float]
    until: float
    episodes: tuple[Episode, ...] = ()
    _edges: list[float] = field(default_factory=list)
    _of: dict[Fault, tuple[Episode, ...]] = field(default_factory=dict)
    _active: dict[Fault, Episode] = field(default_factory=dict)
    _changes_at: float = 0.0

    def __post_init__(self) -> None:
        ends = {*(each.begin for each in self.episodes), *(each.end for each in self.episodes)}
        self._edges = [0.0, *sorted(ends), float("inf")]
        self._of = {fault: tuple(each for each in self.episodes if each.fault is fault) for fault in Fault}

    def active(self) -> Mapping[Fault, Episode]:
        """What goes on."""
        at = self.clock()
        if at >= self._changes_at:
            self._changes_at = self._edges[bisect_right(self._edges, at)]
            self._active = {each.fault: each for each in reversed(self.episodes) if each.begin <= at < each.end}
        return self._active

    def now(self, fault: Fault) -> Episode | None:
        """The episode of a fault that goes on."""
        active = self.active()
        return active.get(fault) if active else None

    def of(self, fault: Fault) -> tuple[Episode, ...]:
        """All episodes of a fault."""
        return self._of[fault]

    def quiet_since(self, begin: float) -> bool:
        """Whether nothing has been wrong since then."""
        now = self.clock()
        return not any(each.begin <= now and each.end > begin for each in self.episodes)

    def lately(self, fault: Fault, begin: float) -> bool:
        """Whether a fault has been there since then."""
        now = self.clock()
        return any(each.begin <= now and each.end > begin for each in self._of[fault])


def drawn(chance: random.Random, clock: Callable[[], float], days: float, faults: frozenset[Fault]) -> Conditions:
    """Episodes of a run of so many days: of some kinds only, since too many at once hide each other."""
    until, found = days * DAY, []
    kinds = [each for each in Fault if each in faults and chance.random() < 0.6]
    at, pace = 0.0, chance.choice([0.25, 1.0, 3.0]) * DAY
    while kinds and (at := at + chance.expovariate(1.0 / pace)) < until:
        fault = chance.choice(kinds)
        longest = _LONGEST.get(fault, 4 * HOUR)
        end = min(at + longest * chance.random() ** 2 + 1.0, until)
        found.append(Episode(fault=fault, begin=at, end=end, size=chance.random(), victim=chance.random()))
        while chance.random() < 0.4:  # misfortunes come together
            other, begin = chance.choice(kinds), min(at + 10 * MINUTE * chance.random(), until)
            end = min(begin + longest * chance.random() ** 3 + 1.0, until)
            found.append(Episode(fault=other, begin=begin, end=end, size=chance.random(), victim=chance.random()))
    return Conditions(clock, until, tuple(sorted(found, key=lambda each: each.begin)))

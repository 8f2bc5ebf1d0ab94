"""What a configuration leads to besides its sources: whether receivers, feeds, bills and executors answer."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import numpy as np

from afdp_exporter.compute.opening import open_compute
from afdp_exporter.compute.settings import Dask
from afdp_exporter.config import Config
from afdp_exporter.detectors.noise import noise_level
from afdp_exporter.errors import AnalysisError, BillError, DeliveryError, FeedError
from afdp_exporter.feeds import Feed
from afdp_exporter.model import Estimate
from afdp_exporter.notify import Receiver
from afdp_exporter.planning.billing import compare
from afdp_exporter.wording.numbers import format_share_range

_PATIENCE = 60.0  # seconds for one feed, or a worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Reachability:
    """A receiver of notices, and what keeps us from it, with the setting to look at."""

    receiver: str
    problem: str | None = None

    def line(self) -> str:
        """As people read it."""
        return f"notify {self.receiver}: {self.problem or 'it answers, and knows us'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable:
    """A feed, and why it cannot be read."""

    feed: str
    problem: str | None = None

    def line(self) -> str:
        """As people read it."""
        return f"feed {self.feed}: {self.problem or 'it can be read'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A bill, its share of list prices with the 90 % range over so many days, or why it cannot be compared."""

    bill: str
    ratio: Estimate | None = None
    days: int = 0
    problem: str | None = None

    def line(self) -> str:
        """As people read it."""
        share = "" if self.ratio is None else format_share_range(self.ratio)
        return f"bill {self.bill}: {self.problem or f'{share} of list prices over {self.days} days'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """Another executor of analyses than the processes of this machine, and why it does none."""

    executor: str
    address: str
    problem: str | None = None

    def line(self) -> str:
        """As people read it."""
        well = f"a worker of {self.address} does what it is given, and has our versions"
        return f"executor {self.executor}: {self.problem or well}"


Connection: TypeAlias = Reachability | Readable | Comparison | Working


async def try_connections(loaded: Config, now: datetime) -> list[Connection]:
    """How the receivers, feeds, bills and the executor of analyses answer, all asked at once."""
    receivers = (_try_receiver(name, receiver) for name, receiver in loaded.notify.items())
    feeds = (_try_feed(name, feed) for name, feed in loaded.feeds.items())
    bills = (_try_bill(loaded, name, now) for name in loaded.bills)
    engine = loaded.policy.analysis.executor
    executors = [_try_executor(engine)] if isinstance(engine, Dask) else []
    return list(await asyncio.gather(*receivers, *feeds, *bills, *executors))


async def _try_executor(engine: Dask) -> Working:
    compute = open_compute(workers=1, engine=engine)
    try:
        await compute.run(noise_level, np.zeros(2), deadline=timedelta(seconds=_PATIENCE))
    except AnalysisError as error:
        return Working(executor=engine.kind, address=engine.address, problem=str(error))
    finally:
        await compute.close()
    return Working(executor=engine.kind, address=engine.address)


async def _try_bill(loaded: Config, name: str, now: datetime) -> Comparison:
    try:
        found = await compare(name, loaded.bills[name], loaded.sources, now)
    except BillError as error:
        return Comparison(bill=name, problem=str(error))
    return Comparison(bill=name, ratio=found.ratio, days=found.days)


async def _try_feed(name: str, feed: Feed) -> Readable:
    try:
        async with asyncio.timeout(_PATIENCE):
            await feed.check(datetime.now(UTC))
    except FeedError as error:
        return Readable(feed=name, problem=str(error))
    except TimeoutError:
        return Readable(feed=name, problem=f"no answer within {_PATIENCE:.0f} seconds")
    return Readable(feed=name)


async def _try_receiver(name: str, receiver: Receiver) -> Reachability:
    try:
        await receiver.reach()
    except DeliveryError as error:
        return Reachability(receiver=name, problem=str(error))
    return Reachability(receiver=name)

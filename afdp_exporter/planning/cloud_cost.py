"""What a change of standing requests costs in the cloud: arithmetic, and the range of what manifests do not say.

A cloud is paid for what a pod asks for, or for what it uses where that is more, as OpenCost counts it. The range is
of a usual day: how many pods an autoscaler runs between its bounds, and how the use of a pod stands to its requests.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import hypot, isfinite
from typing import Annotated, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.special import ndtri

from afdp_exporter.model import BillRatio, CloudCost, Estimate, Trait
from afdp_exporter.settings import STRICT
from afdp_exporter.wording.numbers import format_money, format_number, format_share_range

Floats: TypeAlias = npt.NDArray[np.float64]
Rate: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]

HOURS_A_MONTH = 730.0  # by which prices a month become prices an hour
CHANCES = 3
"""Independent chances of each workload: of its use of CPU, of its use of memory, of its autoscaler's pods."""
_CPU_USE = (0.4, 0.7)  # median of use over request, and the standard deviation of its logarithm
_MEMORY_USE = (0.6, 0.5)  # as of the CPU
_SCALED = (0.8, 1.1)  # wanted pods lie, even in their logarithm, from so much of the least to so much of the most
_DAY = (0.6, 0.8, 1.0, 1.2, 1.4)  # the load in the course of a day, over its mean
_POINTS = (("low", 0.05), ("median", 0.5), ("high", 0.95))  # of the distribution that are reported
_BAND = 0.02  # the share of draws on each side that a point is the mean of
_GRID = 50  # points of each chance
_NOTHING = 1e-9  # a request that is none


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudRates:
    """Prices; the defaults are those that OpenCost goes by where it knows none.

    `bill` names the bill whose ratio to list prices they are multiplied by.
    """

    __pydantic_config__: ClassVar = STRICT

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"
    cpu_core_hour: Rate = 0.031611
    memory_gib_hour: Rate = 0.004237
    storage_gib_month: Rate = 0.04
    bill: str | None = None

    def price(self, cores: float, memory_gib: float, storage_gib: float = 0.0) -> float:
        """Money an hour."""
        storage = storage_gib * self.storage_gib_month / HOURS_A_MONTH
        return cores * self.cpu_core_hour + memory_gib * self.memory_gib_hour + storage


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What each pod asks for, and between which bounds pods run; `target`: the use over request that is scaled to."""

    least: float
    most: float
    cores: float = 0.0
    memory_gib: float = 0.0
    storage_gib: float = 0.0
    target: float | None = None

    @property
    def pods(self) -> float:
        """How many pods are to be expected: the geometric mean of the bounds."""
        return self.least if self.least == self.most else float(np.sqrt(max(self.least, 0.5) * self.most))


Pair: TypeAlias = tuple[Workload | None, Workload | None]
"""A workload before and after; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestChange:
    """The traits of a change: what more is asked for, and what more is paid for, with its range.

    The points of the range are the cores and GiB of those draws whose price at the default rates is at 5, 50, 95 %.
    """

    replicas_delta: float
    cpu_request_delta_cores: float
    memory_request_delta_gib: float
    storage_request_delta_gib: float
    cpu_paid_delta_cores_low: float
    cpu_paid_delta_cores_median: float
    cpu_paid_delta_cores_high: float
    memory_paid_delta_gib_low: float
    memory_paid_delta_gib_median: float
    memory_paid_delta_gib_high: float

    def traits(self) -> dict[str, float]:
        """Each by its name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


_REQUESTS = ("cpu_request_delta_cores", "memory_request_delta_gib", "storage_request_delta_gib")
_PAID = {each.name for each in fields(RequestChange) if "_paid_" in each.name}


def request_change(pairs: Sequence[Pair], chances: Floats) -> RequestChange:
    """What the workloads ask for after less what they asked for before, by `chances` (draws, pairs, 3) in (0, 1)."""
    paid = np.zeros((len(chances), 2))
    for index, pair in enumerate(pairs):
        paid += _paid_delta(pair, chances[:, index])
    usual = CloudRates()
    order = np.argsort(paid @ np.array([usual.cpu_core_hour, usual.memory_gib_hour]), kind="stable")
    points: dict[str, float] = {}
    for name, share in _POINTS:
        first, last = (round((share + side * _BAND) * (len(order) - 1)) for side in (-1, 1))
        cores, memory = paid[order[first : last + 1]].mean(axis=0)
        points |= {f"cpu_paid_delta_cores_{name}": float(cores), f"memory_paid_delta_gib_{name}": float(memory)}
    return RequestChange(
        replicas_delta=_delta(pairs, lambda one: one.pods),
        cpu_request_delta_cores=_delta(pairs, lambda one: one.pods * one.cores),
        memory_request_delta_gib=_delta(pairs, lambda one: one.pods * one.memory_gib),
        storage_request_delta_gib=_delta(pairs, lambda one: one.pods * one.storage_gib),
        **points,
    )


def _delta(pairs: Sequence[Pair], of: Callable[[Workload], float]) -> float:
    return sum((of(after) if after else 0.0) - (of(before) if before else 0.0) for before, after in pairs)


def _paid_delta(pair: Pair, chances: Floats) -> Floats:
    """Cores and GiB (draws, 2) that are paid for after less before, by chances (draws, 3): the same load meets both."""
    known = pair[0] or pair[1]
    if known is None or pair[0] == pair[1]:
        return np.zeros((len(chances), 2))
    cpu_use, memory_use = (_log_normal(chances[:, place], at) for place, at in enumerate((_CPU_USE, _MEMORY_USE)))
    wanted = np.full(len(chances), known.pods)
    if known.least < known.most:
        floor, roof = _SCALED[0] * max(known.least, 0.5), _SCALED[1] * known.most
        wanted = floor * (roof / floor) ** chances[:, 2]
        if known.target is not None:
            cpu_use = np.full(len(chances), known.target)
    load, memory = wanted * known.cores * cpu_use, known.memory_gib * memory_use
    sums = np.zeros((len(chances), 2))
    for sign, workload in zip((-1.0, 1.0), pair, strict=True):
        if workload is not None:
            sums += sign * _paid(workload, wanted, load, memory)
    return sums


def _paid(workload: Workload, wanted: Floats, load: Floats, memory: Floats) -> Floats:
    """Cores and GiB (draws, 2) in the mean of a day under a load in cores, with so many GiB in use in each pod."""
    if workload.target is not None and workload.cores > 0.0 and load.any():
        wanted = load / (workload.cores * workload.target)
    sums = np.zeros((len(wanted), 2))
    for part in _DAY:
        pods = np.clip(part * wanted, workload.least, workload.most)
        cores = np.maximum(pods * workload.cores, np.where(pods > 0.0, part * load, 0.0))
        sums += np.column_stack([cores, pods * np.maximum(workload.memory_gib, memory)])
    return sums / len(_DAY)


def _log_normal(chance: Floats, at: tuple[float, float]) -> Floats:
    median, spread = at
    return np.asarray(median * np.exp(spread * ndtri(chance)))


def cloud_cost(traits: Mapping[str, Trait], rates: CloudRates, billed: BillRatio | None = None) -> CloudCost | None:
    """What a deployment with these traits changes of the cloud's cost; None where they report no requests.

    At `rates`, and brought to what is paid where it is known how a bill in their currency compares with them.
    """
    found = {
        name: value for each in fields(RequestChange) if (value := _number(traits.get(name := each.name))) is not None
    }
    asked = [found.get(name) for name in _REQUESTS]
    if all(value is None for value in asked):
        return None
    pods = found.get("replicas_delta", 0.0)
    cores, memory, storage = (value or 0.0 for value in asked)
    if not found.keys() >= _PAID:
        found |= request_change([_as_one_workload(pods, cores, memory)], _grid()).traits()
    ends = (
        rates.price(found[f"cpu_paid_delta_cores_{name}"], found[f"memory_paid_delta_gib_{name}"], storage)
        for name, _ in _POINTS
    )
    low, median, high = sorted(ends)
    if not (isfinite(low) and isfinite(high)):
        return None
    per_hour = Estimate(low=low, median=median, high=high)
    if billed is not None and billed.currency != rates.currency:
        billed = None
    if billed is not None:
        per_hour = _times(per_hour, billed.ratio)
    what = _in_words(pods, cores, memory, storage)
    money = format_money(rates.currency, per_hour, per_hour=True, signed=True)
    sentence = f"{what[:1].upper()}{what[1:]}: {money}{'' if billed is None else _as_billed(billed)}"
    return CloudCost(currency=rates.currency, per_hour=per_hour, sentence=sentence, billed=billed)


def _times(cost: Estimate, ratio: Estimate) -> Estimate:
    """Their product, whose errors are independent (propagation of uncertainty, to the first order)."""
    middle = cost.median * ratio.median
    below, above = (
        hypot(ratio.median * part, cost.median * (ratio.high - ratio.low) / 2)
        for part in (cost.median - cost.low, cost.high - cost.median)
    )
    return Estimate(low=middle - below, median=middle, high=middle + above)


def _as_billed(billed: BillRatio) -> str:
    share = format_share_range(billed.ratio)
    return f", as {billed.bill} was billed: {share} of list prices over {billed.days} days"


def _number(value: Trait | None) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    return float(value) if known and value is not None else None


def _as_one_workload(pods: float, cores: float, memory: float) -> Pair:
    """Sums alone: as of the pods that come or go, else as of a pod whose requests are doubled or halved."""
    count = abs(pods) or 1.0
    one = Workload(least=count, most=count, cores=abs(cores) / count, memory_gib=abs(memory) / count)
    if pods:
        return (None, one) if pods > 0 else (one, None)
    after = Workload(least=1, most=1, cores=one.cores + cores, memory_gib=one.memory_gib + memory)
    return one, after


def _grid() -> Floats:
    """Even chances of both uses of one workload (draws, 1, 3)."""
    even = (np.arange(_GRID) + 0.5) / _GRID
    cpu, memory = (each.ravel() for each in np.meshgrid(even, even))
    return np.column_stack([cpu, memory, np.full(len(cpu), 0.5)])[:, None, :]


def _in_words(pods: float, cores: float, memory: float, storage: float) -> str:
    """`3 more pods, 1.5 more cores, 2 GiB less memory`: what there is more or less of."""
    parts = [
        f"{format_number(abs(value))} {'more' if value > 0 else 'fewer'} {unit}{'s' * (abs(value) != 1)}"
        for value, unit in ((pods, "pod"), (cores, "core"))
        if abs(value) > _NOTHING
    ]
    parts += [
        f"{format_number(abs(value))} GiB {'more' if value > 0 else 'less'} {what}"
        for value, what in ((memory, "memory"), (storage, "storage"))
        if abs(value) > _NOTHING
    ]
    return ", ".join(parts) or "the requests stay as they are"

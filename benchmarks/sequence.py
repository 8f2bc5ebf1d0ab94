"""Planted chains, two deployments at once, a sale: what is found. Prints the tables of docs/cause-and-effect.md.

python benchmarks/sequence.py [--worlds 200] [--seed 1] [--table order]
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from math import inf

import numpy as np
from planted_chains import (
    ALL,
    CHAIN,
    DEPLOYED,
    ERRORS,
    LAGS,
    LATENCY,
    ORDERS,
    PLANTED,
    REVENUE,
    SESSIONS,
    STEP,
    TICKETS,
    World,
    blames,
    chain_world,
    deployment,
    look,
    series_of,
)

from afdp_exporter.impact.causal_chain import CausalPaths, onset_order
from afdp_exporter.model import Attribution, CalendarEntry, CalendarEntryKind, Metric


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--table", choices=TABLES, help="only this one; each has chance of its own")
    options = parser.parse_args()
    for place, (name, (title, table)) in enumerate(TABLES.items()):
        if options.table in (None, name):
            print_table(title, table(np.random.default_rng((options.seed, place)), options.worlds))


def order_table(rng: np.random.Generator, worlds: int) -> Iterator[tuple[str, ...]]:
    """By lag: steps whose both ends were found, the share whose order is stated, the share of those that is right."""
    yield "lag in samples", "steps found", "order stated", "of these right", "at the same time"
    for lag in LAGS:
        orders_found: list[int] = []
        for _ in range(worlds):
            impact = look(chain_world(rng, lag), rng)
            shifts = {shift.metric: shift for shift in impact.shifts if shift.moved}
            orders_found += [
                onset_order(shifts[cause], shifts[effect], STEP)
                for cause, effect in (("latency_seconds", "sessions"), ("sessions", "revenue_usd_per_hour"))
                if cause in shifts and effect in shifts and shifts[cause].onset and shifts[effect].onset
            ]
        decided = [order for order in orders_found if order]
        right = share(sum(order > 0 for order in decided), len(decided)) if lag else "-"
        yield (
            str(lag),
            str(len(orders_found)),
            share(len(decided), len(orders_found)),
            right,
            share(orders_found.count(0), len(orders_found)),
        )


def edge_table(rng: np.random.Generator, worlds: int) -> Iterator[tuple[str, ...]]:
    """How many of the steps stated are reversed or join strangers, and of how many pairs of strangers one is stated."""
    yield "what moved", "steps stated", "of these false", "stated of pairs that are none"
    declared = (replace(LATENCY, leads_to=(SESSIONS.name,)), replace(SESSIONS, leads_to=(REVENUE.name,)), *ALL[2:])
    cases = {
        "a chain": (True, False, ALL),
        "three strangers at one minute": (False, True, ALL),
        "a chain, and three strangers at the minute of its first": (True, True, ALL),
        "the same, `leads_to` declared for the chain": (True, True, declared),
    }
    for name, (chained, strangers, metrics) in cases.items():
        stated: list[bool] = []
        strange = 0
        for _ in range(worlds):
            world = chain_world(rng, int(rng.choice(LAGS)))
            start = world.onsets[LATENCY.name]
            onsets = dict(world.onsets) if chained else {}
            if strangers:
                onsets |= {TICKETS.name: start, ORDERS.name: start, ERRORS.name: start}
            sizes = {metric: float(rng.uniform(2, 5)) for metric in onsets}
            impact = look(World(onsets=onsets, sizes=sizes, metrics=metrics), rng)
            moved = [shift.metric for shift in impact.shifts if shift.moved and shift.onset]
            paths = CausalPaths(metrics, {})
            pairs = [pair for pair in permutations(moved, 2) if paths.allowed(*pair)]
            strange += sum(not planted(pair, onsets) for pair in pairs)
            stated += [planted((link.cause, link.effect), onsets) for link in impact.links if not link.together]
        false = stated.count(False)
        yield name, str(len(stated)), share(false, len(stated)) if chained else "-", share(false, strange)


def planted(pair: tuple[str, str], onsets: Mapping[str, float]) -> bool:
    """Whether the second truly follows the first."""
    return pair in PLANTED and pair[0] in onsets and onsets.get(pair[1], -inf) > onsets[pair[0]]


def late_table(rng: np.random.Generator, worlds: int) -> Iterator[tuple[str, ...]]:
    """How often late revenue is put down to the deployment, by what stands before it."""
    yield "what happens", "revenue put down to the deployment"
    cases = {
        "latency at once, revenue 30 to 50 minutes later": (True, True),
        "revenue 30 to 50 minutes later, nothing before it": (False, True),
        "latency at once, revenue does not move": (True, False),
    }
    for name, (slow, late) in cases.items():
        blamed = found = 0
        for _ in range(worlds):
            onsets: dict[str, float] = {}
            if slow:
                onsets[LATENCY.name] = float(rng.integers(0, 3))
            if late:
                onsets[REVENUE.name] = float(rng.integers(30, 51))
            sizes = {LATENCY.name: 5.0, REVENUE.name: float(rng.uniform(3, 5))}
            shifts = {shift.metric: shift for shift in look(World(onsets=onsets, sizes=sizes), rng).shifts}
            if slow and not shifts[LATENCY.name].moved:
                continue
            found += 1
            blamed += shifts[REVENUE.name].moved
        yield name, share(blamed, found)


def rival_table(rng: np.random.Generator, worlds: int) -> Iterator[tuple[str, ...]]:
    """Both deployments are looked at: who is blamed for what the guilty one did."""
    yield "what moved", "effects found", "guilty one named", "not told apart", "innocent one blamed"
    shared = replace(LATENCY, name="gateway_latency_seconds", query="l")
    for name, own in (("its own latency, then sessions and revenue of all", True), ("one latency of all", False)):
        counts = {"guilty": 0, "open": 0, "innocent": 0, "nothing": 0}
        for _ in range(worlds):
            counts[accused(rng, own=own, shared=shared)] += 1
        seen = worlds - counts["nothing"]
        yield (name, str(seen), *(share(counts[key], seen) for key in ("guilty", "open", "innocent")))


def accused(rng: np.random.Generator, *, own: bool, shared: Metric) -> str:
    """Who is blamed in one world: guilty, innocent, nobody for certain (open), or that nothing was found."""
    guilty_first = bool(rng.integers(2))
    first, second = deployment("checkout", 0), deployment("search", 3)
    guilty, innocent = (first, second) if guilty_first else (second, first)
    start = (0 if guilty_first else 3) + int(rng.integers(0, 2))
    metrics = CHAIN if own else (shared,)
    onsets: dict[str, float] = {metrics[0].name: start}
    if own:
        onsets |= {SESSIONS.name: start + 4, REVENUE.name: start + 10}
    sizes = {metric.name: float(rng.uniform(3, 6)) for metric in metrics}
    world = World(onsets=onsets, sizes=sizes, metrics=metrics)
    values = {metric.name: series_of(world, metric.name, rng) for metric in metrics}
    mine = look(world, rng, values=values, by=guilty, others=(innocent,))
    if own:  # the innocent service's own latency did not move
        values = {**values, LATENCY.name: series_of(World(), LATENCY.name, rng)}
    theirs = look(world, rng, values=values, by=innocent, others=(guilty,))
    if blames(theirs):
        return "innocent"
    if blames(mine):
        return "guilty"
    unsure = any(shift.verdict is Attribution.NOT_DISTINGUISHABLE for shift in (*mine.shifts, *theirs.shifts))
    return "open" if unsure else "nothing"


def sale_table(rng: np.random.Generator, worlds: int) -> Iterator[tuple[str, ...]]:
    """A deployment within five minutes of what moves each metric by 4 to 8 sigma: a sale everywhere, or it alone."""
    yield "what is known", "deployments", "blamed", "named as a common cause"
    cases = {
        "a sale, in the calendar": (True, 0, None),
        "a sale, and three other services": (False, 3, None),
        "a sale, and nothing beside the service": (False, 0, None),
        "no sale: the deployment did it, three other services did not move": (False, 3, World()),
    }
    for name, (known, others, elsewhere) in cases.items():
        blamed = named = 0
        for _ in range(worlds):
            start = float(rng.integers(0, 3) if elsewhere else rng.integers(-5, 6))
            metrics = (LATENCY, ERRORS, SESSIONS)
            sizes = {metric.name: float(rng.uniform(4, 8)) for metric in metrics}
            world = World(onsets=dict.fromkeys(sizes, start), sizes=sizes, metrics=metrics)
            begin = DEPLOYED + start * STEP
            sale = CalendarEntry(
                name="spring-sale", kind=CalendarEntryKind.SALE, start=begin, end=begin + timedelta(days=3)
            )
            calendar = (sale,) if known else ()
            impact = look(world, rng, calendar=calendar, witnesses=others, elsewhere=elsewhere)
            blamed += blames(impact)
            named += any(shift.verdict is Attribution.NOT_DISTINGUISHABLE for shift in impact.shifts)
        yield name, str(worlds), share(blamed, worlds), share(named, worlds)


def share(count: int, total: int) -> str:
    return f"{count / total:.1%} ({count}/{total})" if total else "none"


def print_table(title: str, rows: Iterable[tuple[str, ...]]) -> None:
    print(f"\n{title}")
    for index, row in enumerate(rows):
        print(f"| {' | '.join(row)} |", flush=True)
        if index == 0:
            print(f"|{'---|' * len(row)}")


TABLES = {
    "order": ("Order of planted steps", order_table),
    "steps": ("Steps that are stated", edge_table),
    "late": ("Revenue that moves 30 to 50 minutes later", late_table),
    "rivals": ("Two deployments three minutes apart", rival_table),
    "sale": ("A sale that moves every service, and a deployment that moves its own", sale_table),
}


if __name__ == "__main__":
    main()

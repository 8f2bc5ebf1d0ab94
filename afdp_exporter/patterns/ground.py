"""What mining searches: conditions, alone and in pairs, which cases meet them, and what each must be seen beside."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.model import Condition, Floats
from afdp_exporter.patterns.conditions import candidates, mask
from afdp_exporter.patterns.traits import Traits, is_intrinsic

RARE = 0.2
"""What a candidate counts that can only become a hint, against 1 for one that can become a pattern."""


@dataclass(frozen=True, slots=True)
class Ground:
    """`members` (n, m): which cases meet each candidate; `timed` (m,): which candidates are of the time.

    `beside` names, for each, the columns of `seen` (n, k) that must not explain it: a pair's own halves, and whether a
    number is known at all where it is not always.
    """

    conditions: tuple[tuple[Condition, ...], ...]
    members: Floats
    timed: NDArray[np.bool_]
    beside: tuple[tuple[int, ...], ...]
    seen: Floats

    def weights(self, support: int) -> Floats:
        """How much each candidate counts (m,), 1 on the mean: all pairs together a ninth of all single ones, and one
        with fewer than `support` cases, which makes a hint at most, RARE of one with more."""
        single = np.array([len(one) == 1 for one in self.conditions])
        worth = np.where(self.members.sum(axis=0) >= support, 1.0, RARE)
        shares = worth * np.where(single, 0.9 / worth[single].sum(), 0.1 / max(float(worth[~single].sum()), RARE))
        return np.asarray(shares / shares.mean())


def survey(rows: Sequence[Traits], least: int) -> Ground:
    """Every candidate that at least `least` rows meet; of a pair, as many must meet one half and not the other."""
    singles = candidates(rows, least)
    masks = [mask(one, rows) for one in singles]
    seen = list(masks)
    known: dict[str, int] = {}
    for trait in sorted({one.trait for one in singles if one.op == ">="}):
        column = np.array([trait in row for row in rows], dtype=bool)
        if not column.all():
            known[trait] = len(seen)
            seen.append(column)
    conditions: list[tuple[Condition, ...]] = [(one,) for one in singles]
    beside = [_known(known, (one,)) for one in singles]
    members = list(masks)
    for first, second in combinations(range(len(singles)), 2):
        both = masks[first] & masks[second]
        fewest = min(int(masks[first].sum()), int(masks[second].sum()))
        if singles[first].trait != singles[second].trait and least <= int(both.sum()) <= fewest - least:
            pair = (singles[first], singles[second])
            conditions.append(pair)
            beside.append((first, second, *_known(known, pair)))
            members.append(both)
    return Ground(
        conditions=tuple(conditions),
        members=_table(members, len(rows)),
        timed=np.array([not all(is_intrinsic(one.trait) for one in each) for each in conditions], dtype=bool),
        beside=tuple(beside),
        seen=_table(seen, len(rows)),
    )


def _known(known: dict[str, int], conditions: Sequence[Condition]) -> tuple[int, ...]:
    return tuple(known[one.trait] for one in conditions if one.op == ">=" and one.trait in known)


def _table(columns: Sequence[np.ndarray[tuple[int], np.dtype[np.bool_]]], rows: int) -> Floats:
    return np.array(columns, dtype=float).reshape(len(columns), rows).T

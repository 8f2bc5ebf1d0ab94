"""What was learned of one figure: how far it moves, and, where it does not always, how often."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.model import Floats
from afdp_exporter.patterns import regression, responses
from afdp_exporter.patterns.chances import Logistic
from afdp_exporter.patterns.intervals import CONFORMAL
from afdp_exporter.patterns.regression import TROUBLED, Linear
from afdp_exporter.patterns.responses import Figures, Scale
from afdp_exporter.patterns.risk import Lesson, Severity, chance

ENOUGH = 3
"""The fewest cases that a prediction may rest on."""
EXPECTED_MOVE = 0.3
"""The prior: this share of deployments moves a given figure."""
CLEAR = 2.0
"""The largest standard deviation of what sizes say of the risk, in units of their noise: it may be next to none."""
MOVE_MATTERING, MOVE_SPREAD = 0.4, 2.5
"""The prior: how many columns of a trait matter, and the spread of the log odds ratio of one that does; a trait can
decide whether a figure moves."""


@dataclass(frozen=True, slots=True)
class Response:
    """What was learned of one figure from `n` cases: how far it moves, and, where it does not always, how often.

    `used` cases tell how far. `errors` are those of left-out cases, in units of their predicted spread; `still` holds
    the figures where nothing moved.
    """

    scale: Scale
    line: Linear
    errors: Floats
    severity: Severity
    n: int
    used: int
    moves: Logistic | None
    still: Floats
    usual_trouble: float  # the mean chance of trouble of the cases behind

    def beside(self, rows: Floats, trouble: float) -> Floats:
        """Rows (m, p) as `line` and `moves` know them, with or without trouble (m, p + 1)."""
        return np.hstack([rows, np.full((rows.shape[0], 1), trouble - self.usual_trouble)])


def respond(figures: Figures, lesson: Lesson, trouble: Floats) -> Response | None:
    """Learn one figure beside the chance (n,) that there was `trouble`; None while fewer than ENOUGH are known.

    Where some cases moved and others did not, the size is learned from those that moved, and moving by itself.
    """
    known = np.isfinite(figures.values)
    if int(known.sum()) < ENOUGH:
        return None
    moved = known & figures.moved
    hurdle = ENOUGH <= int(moved.sum()) <= int(known.sum()) - ENOUGH
    used = moved if hurdle else known
    usual = float(trouble.mean())
    table, groups = np.hstack([lesson.table, trouble[:, None] - usual]), [*lesson.groups, TROUBLED]
    scale, line = _line(figures.values[used], table[used], groups, lesson.counts[used])
    scaled = np.where(used, scale.forward(figures.values), np.nan)
    unseen = regression.unseen(line, table, scaled, groups, lesson.counts)
    errors = ((scaled - unseen.mean) / unseen.spread)[used]
    return Response(
        scale=scale,
        line=line,
        errors=_own(errors, lesson.own[used]),
        severity=_severity(scaled, used, lesson),
        n=int(known.sum()),
        used=int(used.sum()),
        moves=_moves(figures.moved[known], replace(lesson, table=table, groups=groups), known) if hurdle else None,
        still=_own(figures.values[known & ~moved], lesson.own[known & ~moved]) if hurdle else np.zeros(0),
        usual_trouble=usual,
    )


def _severity(scaled: Floats, used: NDArray[np.bool_], lesson: Lesson) -> Severity:
    """How far the traits alone move the figure: what teaches the risk must not know whether there was trouble."""
    line = regression.ridge(lesson.table[used], scaled[used], lesson.groups, lesson.counts[used])
    unseen = regression.unseen(line, lesson.table, scaled, lesson.groups, lesson.counts)
    share = 1.0 / max(float(unseen.effect.std()) / CLEAR, 1.0)
    return Severity(share * unseen.effect, share * np.append(0.0, line.weights[1:]) / line.sigma)


def _moves(moved: NDArray[np.bool_], lesson: Lesson, known: NDArray[np.bool_]) -> Logistic:
    return chance(moved.astype(float), lesson, known, EXPECTED_MOVE, matters=MOVE_MATTERING, spread=MOVE_SPREAD)


def _own(values: Floats, own: NDArray[np.bool_]) -> Floats:
    """The service's own values where they are enough to speak for themselves, else everybody's."""
    return values[own] if int(own.sum()) >= CONFORMAL else values


def _line(values: Floats, rows: Floats, groups: Sequence[str], counts: Floats) -> tuple[Scale, Linear]:
    """The scale on which cases left out are the least surprising, and the line on it."""
    candidates = responses.scales(values, CONFORMAL)

    def surprise(scale: Scale) -> float:
        scaled = scale.forward(values)
        line = regression.ridge(rows, scaled, groups, counts, rounds=regression.QUICK_ROUNDS)
        errors = regression.tension(line, rows, scaled, counts)
        return float(np.sum(0.5 * errors**2 - scale.stretch(values)) + values.size * np.log(line.sigma))

    best = min(candidates, key=surprise) if len(candidates) > 1 else candidates[0]
    return best, regression.ridge(rows, best.forward(values), groups, counts)

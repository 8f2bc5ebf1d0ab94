"""A course as small as a word."""

from collections.abc import Iterator
from dataclasses import dataclass

from afdp_exporter.model import Course
from afdp_exporter.pictures.paths import band, line
from afdp_exporter.pictures.scales import Scale, covering

WIDTH, HEIGHT = 120, 28
_PIECES = 60  # of the course; each shows its lowest and its highest value, so that no spike is lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparkline:
    """Measured over the expected band; the deployment is at `deployed`."""

    measured: str
    band: str
    deployed: float
    width: int = WIDTH
    height: int = HEIGHT


def sparkline(course: Course) -> Sparkline:
    """The picture of one course."""
    first = len(course.measured) - len(course.expected)
    sampled = [*range(first, len(course.measured), max(1, len(course.expected) // 12)), len(course.measured) - 1]
    expected = [(place, course.expected[place - first]) for place in sampled if course.expected]
    low = [value - course.below for _, value in expected]
    high = [value + course.above for _, value in expected]
    known = [value for value in course.measured if value is not None]
    y = covering([*known, *low, *high], begin=HEIGHT - 2, end=2, headroom=0.0)
    x = Scale(low=0, high=max(len(course.measured) - 1, 1), begin=1, end=WIDTH - 1)
    after = [x(place) for place, _ in expected]
    return Sparkline(
        measured=line((x(place), None if value is None else y(value)) for place, value in _outline(course)),
        band=band(list(zip(after, map(y, high), strict=True)), list(zip(after, map(y, low), strict=True))),
        deployed=x(first),
    )


def _outline(course: Course) -> Iterator[tuple[int, float | None]]:
    """The lowest and the highest value of each piece in their order; None for a piece in which nothing is known."""
    size = max(1, len(course.measured) // _PIECES)
    for begin in range(0, len(course.measured), size):
        piece = [
            (value, begin + place)
            for place, value in enumerate(course.measured[begin : begin + size])
            if value is not None
        ]
        if not piece:
            yield begin, None
        for place in sorted({min(piece)[1], max(piece)[1]}) if piece else ():
            yield place, course.measured[place]

"""A course as small as a word."""

from dataclasses import dataclass

from afdp_exporter.model import Course
from afdp_exporter.pictures.paths import band, line
from afdp_exporter.pictures.scales import Scale, covering

WIDTH, HEIGHT = 120, 28


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
    low = [value - course.below for value in course.expected]
    high = [value + course.above for value in course.expected]
    known = [value for value in course.measured if value is not None]
    y = covering([*known, *low, *high], begin=HEIGHT - 2, end=2, headroom=0.0)
    x = Scale(low=0, high=max(len(course.measured) - 1, 1), begin=1, end=WIDTH - 1)
    after = [x(first + number) for number in range(len(course.expected))]
    return Sparkline(
        measured=line((x(number), None if value is None else y(value)) for number, value in enumerate(course.measured)),
        band=band(list(zip(after, map(y, high), strict=True)), list(zip(after, map(y, low), strict=True))),
        deployed=x(first),
    )

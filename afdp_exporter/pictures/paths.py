"""SVG paths from series."""

from collections.abc import Iterable, Sequence

Point = tuple[float, float | None]


def line(points: Iterable[Point]) -> str:
    """A line through the points; where one is missing, the line is broken."""
    parts, pen = [], "M"
    for x, y in points:
        if y is None:
            pen = "M"
            continue
        parts.append(f"{pen}{x:g} {y:g}")
        pen = "L"
    return "".join(parts)


def band(above: Sequence[tuple[float, float]], below: Sequence[tuple[float, float]]) -> str:
    """The area between two lines over the same positions."""
    if not above:
        return ""
    return line([*above, *reversed(below)]) + "Z"

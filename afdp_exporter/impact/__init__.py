"""What happened -> whose doing it was, in what order, at what cost. Pure."""

from afdp_exporter.impact.attribution import judge
from afdp_exporter.impact.finding import Finding

__all__ = ["Finding", "judge"]

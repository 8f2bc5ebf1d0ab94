"""The one way to a pool for pure work."""

from afdp_exporter.compute import ComputePool
from afdp_exporter.compute.processes import ProcessComputePool


def open_compute(*, workers: int) -> ComputePool:
    """Open a pool that runs so many functions at once. Raises AnalysisError where this machine cannot."""
    return ProcessComputePool(workers)

"""The one way to a pool for pure work."""

import importlib

from afdp_exporter.compute import ComputePool
from afdp_exporter.compute.processes import ProcessComputePool
from afdp_exporter.compute.settings import Dask, Processes
from afdp_exporter.errors import ConfigError

_ON_THIS_MACHINE = Processes()
_NEAR = 2  # processes of this machine beside a cluster: they learn, and read the store


def open_compute(*, workers: int, engine: Processes | Dask = _ON_THIS_MACHINE) -> ComputePool:
    """Open a pool that runs so many functions at once.

    Raises AnalysisError where this machine cannot, ConfigError where the engine's package is missing.
    """
    if isinstance(engine, Processes):
        return ProcessComputePool(workers)
    try:
        loaded = importlib.import_module("afdp_exporter.compute.dask")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "afdp_exporter":
            raise
        needed = f"kind dask needs the package {error.name}: pip install 'afdp-exporter[dask]'"
        raise ConfigError("policy.analysis.executor", needed) from None
    pool: ComputePool = loaded.DaskComputePool(engine, workers=workers, near=ProcessComputePool(_NEAR))
    return pool

"""What all worker processes share: imported once, by the process that they are forked from.

The garbage collector writes to all that it looks at, and with that gives each worker a copy of its own: what is here
now stays out of its reach. One thread does the linear algebra of each: there are as many workers as cores. And the
arrays of a check, of megabytes each, are taken from memory that was used before, where the C library would give each of
them back to the system and have it cleared anew.
"""

import gc
import signal

signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it asks the exporter to reload, and may reach all of its processes
gc.disable()

import ruptures  # noqa: E402, F401 - a judgement imports it when it needs it
from threadpoolctl import threadpool_limits  # noqa: E402

import afdp_exporter.planning.learning  # noqa: E402
import afdp_exporter.watching.analysis  # noqa: E402, F401
from afdp_exporter.allocator import reuse_memory_below  # noqa: E402

reuse_memory_below(16 * 1024**2)
threadpool_limits(limits=1, user_api="blas")
gc.collect()
gc.freeze()
gc.enable()

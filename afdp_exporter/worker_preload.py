"""What all worker processes share: imported once, by the process that they are forked from.

The garbage collector writes to all that it looks at, and with that gives each worker a copy of its own: what is here
now stays out of its reach.
"""

import gc

gc.disable()

import ruptures  # noqa: E402, F401 - a judgement imports it when it needs it

import afdp_exporter.planning.learning  # noqa: E402
import afdp_exporter.watching.analysis  # noqa: E402, F401

gc.collect()
gc.freeze()
gc.enable()

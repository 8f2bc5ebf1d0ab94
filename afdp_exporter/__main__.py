"""The command `afdp`, also as `python -m afdp_exporter`."""

import os
import signal
import sys

# Heeded from the first instruction, also as process 1, for which the system itself does nothing. What serves takes
# nothing in before it has its own way to end.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0 if sys.argv[1:2] == ["serve"] else 128 + signal.SIGTERM))
if sys.argv[1:2] == ["serve"]:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it asks for the configuration, which is about to be read

from afdp_exporter.cli import main  # noqa: E402 - it takes its time

if __name__ == "__main__":
    main()

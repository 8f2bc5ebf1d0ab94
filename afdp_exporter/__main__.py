"""`python -m afdp_exporter` is the command `afdp`."""

from afdp_exporter.cli import main

main()

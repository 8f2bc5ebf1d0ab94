"""The exporter with a planted defect: what senders without proof may send together has no bound."""

from afdp_exporter import cli
from afdp_exporter.handlers import load

load.Bodies.__init__.__kwdefaults__["most"] = 2**40
cli.main()

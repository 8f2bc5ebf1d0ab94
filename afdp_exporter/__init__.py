"""Shows what a deployment did to production, and what the next one will do."""

from importlib.metadata import version

__version__ = version("afdp-exporter")

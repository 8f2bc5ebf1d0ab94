"""The shipped scrape job and rules, set up for servers of a test."""

from typing import Any

import yaml

from real_parts.servers import Server
from shipped import ROOT


def scraping(exporter: Server, alertmanager: Server) -> dict[str, Any]:
    """The shipped scrape job and the shipped rules, with the addresses of this run and at a faster pace."""
    shipped = yaml.safe_load((ROOT / "alerting/prometheus.yml").read_text("utf-8"))
    (job,) = shipped["scrape_configs"]
    at = {"static_configs": [{"targets": [f"127.0.0.1:{alertmanager.port}"]}]}
    return {
        "scrape_configs": [job | {"static_configs": [{"targets": [f"127.0.0.1:{exporter.port}"]}]}],
        "rule_files": [str(ROOT / "alerting/rules/*.yml")],
        "alerting": {"alertmanagers": [at]},
    }

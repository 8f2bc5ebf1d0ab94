"""The page about the metrics, and the metrics."""

import re

from shipped import ROOT
from shipped.names import existing

PAGE = (ROOT / "docs/metrics.md").read_text("utf-8")


def test_every_metric_is_documented_in_one_place_and_nothing_else_is() -> None:
    documented = re.findall(r"^\| `(afdp_\w+)` \|", PAGE, re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert set(documented) == existing()

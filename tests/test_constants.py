"""The statistical constants can be listed with what they are, and swept over a benchmark."""

import subprocess
import sys
from pathlib import Path

from constants import PACKAGE, constants

PRINTS = """
from afdp_exporter.impact.bayes_factor import posterior_probability
from afdp_exporter.impact.common_cause import sample_controls
print(f"{posterior_probability(0.0):.2f}")
"""


def test_constants_are_listed_with_what_they_are() -> None:
    found = {each.name: each for each in constants()}
    assert found["impact.bayes_factor.PRIOR"].value == "0.3"
    assert found["impact.bayes_factor.PRIOR"].meaning.startswith("how often a deployment moves a metric")
    assert found["patterns.mining.search.SUPPORT"].meaning.startswith("Cases that a pattern rests on")


def test_every_constant_says_what_it_is() -> None:
    assert [each.name for each in constants() if not each.meaning] == []


def test_a_swept_constant_reaches_what_was_computed_from_it(tmp_path: Path) -> None:
    benchmark = tmp_path / "prints.py"
    benchmark.write_text(PRINTS)
    sweep = PACKAGE.parent / "benchmarks/constants.py"
    command = [sys.executable, str(sweep), "impact.bayes_factor.PRIOR", "0.1", "0.6", "--", str(benchmark)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert [line for line in printed.splitlines() if line.startswith("0.")] == ["0.10", "0.60"]


def test_a_constant_that_there_is_none_of_is_refused() -> None:
    sweep = PACKAGE.parent / "benchmarks/constants.py"
    refused = subprocess.run(
        [sys.executable, str(sweep), "impact.NOTHING", "1"], check=False, capture_output=True, text=True
    )
    assert refused.returncode == 2
    assert "there is no constant impact.NOTHING" in refused.stderr

"""Writes docs/coverage.md from what scripts/coverage measured: the branches of each package that the suite takes.

python scripts/coverage_table.py
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/coverage.md"
PACKAGE = "afdp_exporter"
LEAST = 90.0  # per cent of the branches; a package below it has its reason here
REASONS = {
    "alerts": "one of four branches: the name of a scrape job that is none",
    "approvals": "refusals of each system that its double never gives",
    "automation": "what was called off, or changed by somebody else, between two steps of an action",
    "bills": "answers without an end",
    "commands": "what is printed of rare results; the commands run as programs",
    "compute": "workers of a cluster, and their children, are killed: what they have run is not written down",
    "executors": "refusals of each system that its double never gives; the table of `tests/executors` tries the same "
    "ones on all",
    "feeds": "odd answers of each system; `tests/feeds` has those that were seen",
    "plots": "three of 28 branches: scales without any value",
}
HEAD = """\
# Coverage

`./scripts/coverage` runs the suite with [coverage.py](https://coverage.readthedocs.io) and writes this page. It \
counts branches, also in the programs and worker processes that tests start. The slow suites are left out. Each \
package has 90 % of its branches taken, or its reason stands beside it.

| package | files | lines | branches | branches taken | reason |
|---|--:|--:|--:|--:|---|
"""


def measured() -> dict[str, Counter[str]]:
    """Package -> its files, lines and branches, and how many of these the suite takes."""
    report = PAGE.parent.parent / ".cache/coverage/report.json"
    command = (sys.executable, "-m", "coverage", "json", "--quiet", "-o", report)
    subprocess.run(command, cwd=ROOT, check=True)
    packages: dict[str, Counter[str]] = {}
    for name, file in json.loads(report.read_text())["files"].items():
        inside = Path(name).relative_to(PACKAGE).parts
        figures, summary = packages.setdefault(inside[0] if len(inside) > 1 else "", Counter()), file["summary"]
        figures["files"] += 1
        figures["lines"] += summary["num_statements"]
        figures["branches"] += summary["num_branches"]
        figures["taken"] += summary["covered_branches"]
    return packages


def row(package: str, figures: Counter[str]) -> str:
    """One line of the table."""
    name = f"`{package}/`" if package else "modules beside the packages"
    share = 100.0 * figures["taken"] / figures["branches"] if figures["branches"] else 100.0
    reason = REASONS.get(package, "") if share < LEAST else ""
    return (
        f"| {name} | {figures['files']} | {figures['lines']:,} | {figures['branches']:,} | {share:.1f} % | {reason} |"
    )


def main() -> None:
    """Write the page."""
    packages = measured()
    rows = [row(package, packages[package]) for package in sorted(packages, key=lambda each: (not each, each))]
    total = sum(packages.values(), Counter[str]())
    rows.append(row("", total).replace("modules beside the packages", "**all**"))
    PAGE.write_text(HEAD + "\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Write the alert rules of the Helm chart: `python scripts/chart_rules.py`; with `--check`, only tell what differs.

They are the shipped rules with a placeholder, such as `__exporter_url__`, wherever the chart has a value.
"""

import argparse
import sys
from pathlib import Path

from afdp_exporter.alerts import chart_files

FOLDER = Path(__file__).parent.parent / "deploy/helm/afdp-exporter/files/rules"


def main() -> int:
    """Write or check the files; 1 when a check finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    wanted = {FOLDER / name: text for name, text in chart_files().items()}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        print(f"{'differs' if check else 'written'}: {path.relative_to(FOLDER.parents[3])}")
        if not check:
            path.write_text(wanted[path], "utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

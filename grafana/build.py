"""Write the dashboards: `python grafana/build.py`; with `--check`, only tell which files differ from what is built."""

import argparse
import itertools
import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

import automation
import cause_and_effect
import deployments
import risk_and_windows
import trust

FOLDER = Path(__file__).parent / "dashboards"


def text(dashboard: Dashboard) -> str:
    """A dashboard as its file holds it, every panel with a stable id."""
    for number, panel in zip(itertools.count(1), dashboard.panels or (), strict=False):
        panel.id_val = number
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def files() -> dict[Path, str]:
    """File -> content, of all dashboards."""
    built = [module.board().build() for module in (deployments, cause_and_effect, risk_and_windows, automation, trust)]
    return {FOLDER / f"{dashboard.uid}.json": text(dashboard) for dashboard in built}


def main() -> int:
    """Write or check the files; 1 when a check finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    wanted = files()
    stale = [path for path, content in wanted.items() if not path.exists() or path.read_text("utf-8") != content]
    stale += [path for path in FOLDER.glob("*.json") if path not in wanted]
    for path in stale:
        print(f"{'differs' if check else 'written'}: {path.relative_to(FOLDER.parent.parent)}")
        if not check:
            path.write_text(wanted[path], "utf-8") if path in wanted else path.unlink()
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

"""What the repository ships beside the program (dashboards, rules, runbooks), read for the tests."""

from pathlib import Path

ROOT = Path(__file__).parents[2]

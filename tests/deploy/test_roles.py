"""The roles of `deploy/` allow what the feed `kubernetes` follows, and nothing else."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from afdp_exporter.feeds.kubernetes import Kubernetes
from deploy.conftest import DEPLOY, ROOT

CHART = DEPLOY / "helm/afdp-exporter/templates/rbac.yaml"
COMPONENT = DEPLOY / "kubernetes/feed/role.yaml"


def rules(path: Path) -> list[dict[str, Any]]:
    """Of a manifest, or of a template whose rules stand a line each."""
    if path == COMPONENT:
        return [rule for each in yaml.safe_load_all(path.read_text()) for rule in each.get("rules", ())]
    lines = [line for line in path.read_text().splitlines() if line.startswith("- {apiGroups")]
    found: list[dict[str, Any]] = yaml.safe_load("\n".join(lines))
    return found


def allowed(found: Iterable[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {
        (group, plural, verb)
        for rule in found
        for group in rule["apiGroups"]
        for plural in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("path", [CHART, COMPONENT], ids=lambda path: path.parent.name)
def test_a_role_allows_what_the_feed_reads(path: Path) -> None:
    needed = {(each.group, each.plural, verb) for each in Kubernetes().resources for verb in ("get", "list", "watch")}
    assert allowed(rules(path)) == needed


def test_the_documentation_names_what_a_role_allows() -> None:
    (line,) = [line for line in (ROOT / "docs/feeds.md").read_text().splitlines() if line.startswith("- Role")]
    assert all(f"`{each.plural}`" in line and f"`{each.group}`" in line for each in Kubernetes().resources)

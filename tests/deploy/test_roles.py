"""The roles of `deploy/` allow what the feed `kubernetes` and the executors in a cluster do, and nothing else."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from afdp_exporter.executors import Executor, Order
from afdp_exporter.feeds.kubernetes import Kubernetes
from afdp_exporter.settings import build
from deploy.conftest import DEPLOY, ROOT, run

CHART = DEPLOY / "helm/afdp-exporter/templates/rbac.yaml"
COMPONENT = DEPLOY / "kubernetes/feed/role.yaml"


def rules(path: Path) -> list[dict[str, Any]]:
    """Of a manifest, or of a template whose rules stand a line each."""
    if path == COMPONENT:
        return [rule for each in yaml.safe_load_all(path.read_text()) for rule in each.get("rules", ())]
    block = path.read_text().partition('"afdp.feedRules"')[2].partition("{{- end }}")[0]
    lines = [line for line in block.splitlines() if line.startswith("- {apiGroups")]
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


ORDER = Order(
    deployment_id="d2", service="checkout", environment="production", at=datetime(2026, 3, 2, 12, tzinfo=UTC),
    version="v2", previous_version="v1", traits={},
)  # fmt: skip
RIGHTS = re.compile(
    r"/apis/(?P<group>[^/]+)/[^/]+/namespaces/shop/(?P<plural>[^/]+)(?P<name>/checkout)?(?P<below>/\w+)?"
)
OWNED = {"name": "r", "ownerReferences": [{"uid": "u1"}]}


def template(version: str) -> dict[str, Any]:
    return {"metadata": {"labels": {}}, "spec": {"containers": [{"name": "app", "image": f"shop/checkout:{version}"}]}}


def workload(stable: str) -> dict[str, Any]:
    """One that does for each of the executors: v2 runs, as revision 2."""
    number = {"deployment.kubernetes.io/revision": "2", "rollout.argoproj.io/revision": "2"}
    return {
        "metadata": {
            "name": "checkout", "namespace": "shop", "uid": "u1", "resourceVersion": "1", "annotations": number,
        },
        "spec": {"selector": {"matchLabels": {"app": "checkout"}}, "template": template("v2")},
        "status": {
            "stableRS": stable, "currentPodHash": "b", "history": [{"chartVersion": "v2"}, {"chartVersion": "v1"}],
        },
    }  # fmt: skip


def revisions() -> list[dict[str, Any]]:
    return [
        {
            "metadata": OWNED | {
                "annotations": {
                    f"{owner}/revision": str(number)
                    for owner in ("deployment.kubernetes.io", "rollout.argoproj.io")
                }
            },
            "spec": {"template": template(f"v{number}")},
            "revision": number,
            "data": {"spec": {"template": template(f"v{number}")}},
        }
        for number in (1, 2)
    ]  # fmt: skip


async def asked_for(kind: str, stable: str, **words: Any) -> set[tuple[str, str, str]]:  # noqa: ANN401 - settings
    """The rights that an executor makes use of from its look to its last one."""
    used = set[tuple[str, str, str]]()

    async def answer(request: web.Request) -> web.Response:
        path = RIGHTS.fullmatch(request.path)
        assert path, request.path
        verb = {"GET": "get" if path["name"] else "list", "PATCH": "patch"}[request.method]
        used.add((path["group"], path["plural"] + (path["below"] or ""), verb))
        return web.json_response(workload(stable) if path["name"] else {"items": revisions()})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        address = str(server.make_url("")).rstrip("/")
        executor: Executor = build("executors", kind, {"url": address, "namespace": "shop"} | words, "")
        plan = await executor.check(ORDER)
        await executor.apply(plan)
        await executor.verify(plan)
    return used


async def test_the_role_of_the_executors_allows_what_they_do(program: Callable[[str], str]) -> None:
    used = {
        right
        for kind, stable, words in (
            *(("kubernetes", "a", {"workload": each}) for each in ("deployment", "statefulset", "daemonset")),
            ("argo_rollouts", "a", {}),
            ("argo_rollouts", "b", {}),
            *(("flux", "a", {"workload": each}) for each in ("helmrelease", "kustomization")),
            ("flux", "a", {"chart_version": True}),
        )
        for right in await asked_for(kind, stable, **words)
    }
    chart, named = DEPLOY / "helm/afdp-exporter", "rbac.rollback={shop,pay}"
    done = await run(program("helm"), "template", "x", chart, "--set", named, "--namespace", "monitoring")
    assert done.code == 0, done.err
    found = [each for each in yaml.safe_load_all(done.out) if each]
    roles = [each for each in found if each["kind"].endswith("Role")]
    assert {(each["kind"], each["metadata"]["namespace"]) for each in roles} == {("Role", "shop"), ("Role", "pay")}
    assert all(allowed(each["rules"]) == used for each in roles)
    bound = [each for each in found if each["kind"].endswith("RoleBinding")]
    (account,) = [each["metadata"]["name"] for each in found if each["kind"] == "ServiceAccount"]
    assert {each["metadata"]["namespace"] for each in bound} == {"shop", "pay"}
    assert all(each["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "monitoring"}]
               for each in bound)  # fmt: skip
    (pod,) = [each["spec"]["template"]["spec"] for each in found if each["kind"] == "StatefulSet"]
    assert pod["automountServiceAccountToken"] is True
    documented = "\n".join((ROOT / "docs/rollback.md").read_text().splitlines())
    assert all(f"`{plural}`" in documented and f"`{group}`" in documented for group, plural, _ in used)


async def test_without_a_word_nothing_is_allowed(program: Callable[[str], str]) -> None:
    done = await run(program("helm"), "template", "x", DEPLOY / "helm/afdp-exporter")
    found = [each for each in yaml.safe_load_all(done.out) if each]
    assert not [each for each in found if "Role" in each["kind"]]
    (pod,) = [each["spec"]["template"]["spec"] for each in found if each["kind"] == "StatefulSet"]
    assert pod["automountServiceAccountToken"] is False

"""From the words of a sender to a service and an environment, or to the reason why not."""

from typing import Any

import pytest

from afdp_exporter.errors import ConfigError
from afdp_exporter.model import Announcement, Ignored, Origin
from afdp_exporter.settings import parse
from afdp_exporter.tracking.mapping import Rule, resolve_service


def announced(**origin: object) -> Announcement:
    return Announcement(sender="argocd", key="k", event="e", origin=Origin(**origin))


def rules(*blocks: dict[str, Any]) -> list[Rule]:
    return [parse(Rule, block, f"mapping[{index}]") for index, block in enumerate(blocks)]


def placed(announcement: Announcement, *blocks: dict[str, Any]) -> tuple[str | None, str | None] | str:
    found = resolve_service(announcement, rules(*blocks))
    return found.reason if isinstance(found, Ignored) else (found.origin.service, found.origin.environment)


@pytest.mark.parametrize(
    ("origin", "service"),
    [
        ({"service": "pay", "application": "pay-prod"}, "pay"),
        ({"application": "checkout", "repository": "acme/shop"}, "checkout"),
        ({"image": "registry:5000/acme/checkout:v1@sha256:abc"}, "checkout"),
        ({"image": "registry:5000/acme/checkout"}, "checkout"),
        ({"repository": "https://git.example.com/acme/shop.git"}, "shop"),
        ({"repository": "acme/shop/"}, "shop"),
        ({"pipeline": "deploy-checkout"}, "deploy-checkout"),
    ],
)
def test_without_rules_the_most_specific_word_is_the_service(origin: dict[str, str], service: str) -> None:
    assert placed(announced(**origin)) == (service, "production")


def test_an_environment_that_is_reported_is_kept() -> None:
    assert placed(announced(service="pay", environment="staging")) == ("pay", "staging")


def test_a_rule_names_what_its_expressions_found() -> None:
    block = {
        "match": {"application": "(?P<name>.+)-(prod|staging)", "cluster": "eu.*", "label_team": ".+"},
        "service": "$name",
        "environment": "${2}-$cluster",
    }
    found = placed(announced(application="pay-prod", cluster="eu1", labels={"team": "money"}), block)
    assert found == ("pay", "prod-eu1")


def test_the_first_rule_that_applies_decides() -> None:
    blocks = (
        {"match": {"namespace": "kube-.*"}, "ignore": "system workloads"},
        {"match": {"sender": "argocd", "namespace": "shop"}, "environment": "live"},
        {"service": "everything-else"},
    )
    assert placed(announced(application="dns", namespace="kube-system"), *blocks) == (
        "left out by mapping[0]: system workloads"
    )
    assert placed(announced(application="pay", namespace="shop"), *blocks) == ("pay", "live")
    assert placed(announced(application="pay", namespace="shops"), *blocks) == ("everything-else", "production")


def test_expressions_are_anchored_and_a_missing_fact_is_empty() -> None:
    assert placed(announced(application="pay"), {"match": {"application": "pa"}, "service": "x"}) == (
        "pay",
        "production",
    )
    assert placed(announced(application="pay"), {"match": {"cluster": ""}, "service": "x-$cluster"}) == (
        "x-",
        "production",
    )


def test_what_says_nothing_of_a_service_is_ignored_with_what_is_known() -> None:
    found = placed(announced(namespace="shop"))
    assert found == (
        "nothing says which service this is; a rule under mapping may; known: sender 'argocd', namespace 'shop'"
    )


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"match": {"repo": ".*"}, "service": "x"}, "match.repo is no fact; known: sender, service"),
        ({"match": {"label_": ".*"}, "service": "x"}, "is no fact"),
        ({"match": {"repository": "("}, "service": "x"}, "match.repository"),
        ({"match": {"repository": ".*"}}, "either ignore"),
        ({"ignore": "no", "service": "x"}, "either ignore"),
        ({"service": "$nme"}, r"\$nme is neither a fact nor a group"),
        ({"match": {"image": "(.*)"}, "service": "${2}"}, r"\$2 is neither"),
        ({"service": "a$"}, "names nothing"),
        ({"servce": "x"}, "unknown key"),
    ],
)
def test_a_rule_that_cannot_work_stops_the_start(block: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rules(block)


def test_a_rule_does_not_apply_where_a_fact_of_unless_matches() -> None:
    block = {"match": {"service": "shop"}, "unless": {"ref": "v.*", "pipeline": "deploy"}, "service": "pay"}
    assert placed(announced(service="shop", ref="main"), block) == ("pay", "production")
    assert placed(announced(service="shop", ref="v1"), block) == ("shop", "production")
    assert placed(announced(service="shop", ref="main", pipeline="deploy"), block) == ("shop", "production")


def test_no_text_of_a_sender_makes_an_expression_take_long() -> None:
    block = {"match": {"ref": "(a+)+x"}, "service": "pay"}
    assert placed(announced(service="shop", ref="a" * 100_000), block) == ("shop", "production")


@pytest.mark.parametrize("expression", ["(?=a)b", r"(a)\1", "(a", 7, None])
def test_what_is_no_expression_of_linear_time_is_refused_by_its_place(expression: object) -> None:
    with pytest.raises(ConfigError, match=r"mapping\[0\]\.match\.ref: "):
        rules({"match": {"ref": expression}, "service": "pay"})

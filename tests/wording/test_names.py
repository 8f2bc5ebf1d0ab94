"""A name that somebody typed, beside the known ones."""

import pytest

from afdp_exporter.wording.metrics import unknown_service

KNOWN = ("checkout", "search", "payment-gateway")


@pytest.mark.parametrize(
    ("typed", "meant"), [("chekout", "checkout"), ("CHECKOUT", "checkout"), ("payment_gateway", "payment-gateway")]
)
def test_the_nearest_is_named(typed: str, meant: str) -> None:
    found = unknown_service(typed, KNOWN)
    assert found == f"The service {typed} is not known; did you mean {meant}? Known: checkout, payment-gateway, search."


def test_where_none_is_near_only_the_known_ones_are_named() -> None:
    assert unknown_service("zzz", KNOWN).startswith("The service zzz is not known. Known: checkout,")


def test_of_many_some_are_named() -> None:
    assert unknown_service("zzz", [f"s{number:02}" for number in range(25)]).endswith("s09 and 15 more.")

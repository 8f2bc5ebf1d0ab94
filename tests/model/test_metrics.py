"""What a metric may be, and which share of its level matters."""

import pytest

from afdp_exporter.model import Denominator, Layer, Metric


def metric(**changes: object) -> Metric:
    return Metric(name="errors_ratio", layer=Layer.TECHNICAL, query="errors", **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("worth", "share"), [(None, None), (0.5, None), ("10%", 0.1), ("2.5 %", 0.025)])
def test_the_smallest_change_that_matters_is_a_number_or_a_share(
    worth: float | str | None, share: float | None
) -> None:
    assert metric(worth=worth).worth_share == (None if share is None else pytest.approx(share))


@pytest.mark.parametrize("worth", [0, -1.0, float("inf"), "0%", "ten", "10"])
def test_what_cannot_be_a_smallest_change_is_refused(worth: float | str) -> None:
    with pytest.raises(ValueError, match="positive number or a share"):
        metric(worth=worth)


@pytest.mark.parametrize("one", [{"canary": "c"}, {"stable": "s"}])
def test_a_canary_is_compared_with_a_stable_version_only(one: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="needed together"):
        metric(**one)
    assert metric(canary="c", stable="s").canary == "c"


def test_arms_are_counted_only_where_there_are_arms() -> None:
    arms = Denominator(canary="all", stable="all")
    with pytest.raises(ValueError, match="of needs canary and stable"):
        metric(of=arms)
    assert metric(canary="c", stable="s", of=arms).arms_of == arms
    assert metric(of=Denominator(query="all")).query_of == "all"


@pytest.mark.parametrize("parts", [{}, {"canary": "all"}, {"query": "all", "stable": "all"}])
def test_what_events_are_counted_in_is_whole(parts: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="need"):
        Denominator(**parts)

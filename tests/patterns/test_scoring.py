"""How well predictions came true, against scikit-learn's scores and worlds whose law is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from afdp_exporter.patterns.scoring import Risks


def drawn(seed: int, n: int, scale: float = 1.0) -> Risks:
    """Risks around .3 on the scale of log odds, of which `scale` says how much is true."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-1.0, 1.0, size=n)
    happened = rng.random(n) < 1.0 / (1.0 + np.exp(-odds))
    return Risks(predicted=1.0 / (1.0 + np.exp(1.0 - scale * (odds + 1.0))), happened=happened.astype(float))


@given(pairs=st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), min_size=1, max_size=40))
def test_the_brier_score_is_that_of_scikit_learn(pairs: list[tuple[float, bool]]) -> None:
    predicted, happened = np.array([one for one, _ in pairs]), np.array([other for _, other in pairs], dtype=float)
    expected = brier_score_loss(happened, predicted, labels=[0, 1], pos_label=1)
    assert Risks(predicted=predicted, happened=happened).brier == pytest.approx(expected)


def test_always_saying_the_base_rate_has_no_skill() -> None:
    happened = np.array([0.0, 1.0, 0.0, 0.0])
    skill = Risks(predicted=np.full(4, 0.25), happened=happened).skill
    assert skill is not None
    assert skill.median == pytest.approx(0.0)


def test_where_everything_or_nothing_happened_there_is_no_skill_to_show() -> None:
    assert Risks(predicted=np.array([0.1, 0.2]), happened=np.zeros(2)).skill is None


def test_nine_of_ten_ranges_of_the_skill_hold_what_many_predictions_show() -> None:
    known = drawn(0, 200_000).skill
    assert known is not None
    found = [drawn(seed, 300).skill for seed in range(1, 201)]
    held = [one.low <= known.median <= one.high for one in found if one is not None]
    assert 0.85 <= np.mean(held) <= 0.96


def test_what_is_predicted_as_it_is_happens_as_often_as_was_said() -> None:
    for bin_ in drawn(3, 20_000).reliability:
        assert bin_.happened == pytest.approx(bin_.predicted, abs=0.04)
    assert sum(bin_.n for bin_ in drawn(3, 20_000).reliability) == 20_000


def test_what_is_predicted_too_boldly_shows_in_the_bins() -> None:
    lowest, *_, highest = drawn(4, 20_000, scale=3.0).reliability
    assert lowest.happened > lowest.predicted + 0.03
    assert highest.happened < highest.predicted - 0.1

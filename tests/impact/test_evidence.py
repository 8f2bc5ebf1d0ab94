"""What the detectors found, weighed."""

from afdp_exporter.detectors.onset import Onset
from afdp_exporter.impact.evidence import _weight_of_onset


def test_the_surer_the_onset_lies_elsewhere_the_less_it_weighs() -> None:
    def weight(share: float) -> float:
        onset = Onset(position=100, low=99, high=101, share=share, likeliest=107)
        return _weight_of_onset(onset, None, None)

    weights = [weight(share) for share in (0.9, 0.5, 0.3, 0.1, 0.03, 0.01)]
    assert weights == sorted(weights, reverse=True)
    assert weights[-2] - weights[-1] > 0.1

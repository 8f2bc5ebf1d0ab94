"""The one wording of what became of a deployment."""

from afdp_exporter.model import Outcome

_WORDS = {
    Outcome.FAILURE: "Failure",
    Outcome.DEGRADATION: "Degradation",
    Outcome.SUCCESS: "No harm",
    Outcome.UNKNOWN: "Unknown",
}


def outcome_word(outcome: Outcome) -> str:
    """An outcome as a reader's word."""
    return _WORDS[outcome]

"""What is not known of a planned deployment -> what its service usually deploys, to be averaged over.

What is absent is filled from the service's newest deployments, each in turn and whole, so that what goes together stays
together; those that agree more in what is known count more. What fewer than half of them have is taken for absent where
anything of the change is known, since a sender that tells traits tells those that apply.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from afdp_exporter.model import Floats
from afdp_exporter.patterns.learning import Model
from afdp_exporter.patterns.similarity import agreements, scales_of
from afdp_exporter.patterns.traits import Traits, Value, is_intrinsic

TYPICAL = 20
"""How many of the service's newest deployments stand for what it usually deploys."""
FOCUS = 2.0
"""How fast the weight of a deployment falls with each trait in which it differs from what is known."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a planned deployment may be in full: the traits of each possibility, and its `weights` (m,), 1 in all.

    `untold` is the share that was filled in, as the kernel of the risk weighs traits, 0 to 1.
    """

    traits: tuple[Traits, ...]
    weights: Floats
    untold: float = 0.0


def typical(model: Model) -> tuple[Traits, ...]:
    """The newest deployments of the service, or of all where it has none, without what is of their moments."""
    pairs = list(zip(model.cases, model.traits, strict=True))
    own = [traits for case, traits in pairs if case.deployment.service == model.home.service]
    return tuple(_of_the_change(traits) for traits in (own or [traits for _, traits in pairs])[-TYPICAL:])


def completed(model: Model, known: Traits) -> Candidates:
    """All that a planned deployment may be, of which only `known` is told."""
    donors = typical(model)
    told = _of_the_change(known)
    if not donors:
        return Candidates((known,), np.ones(1))
    sizes = scales_of(model)
    weights = np.array([_weight(told, donor, sizes) for donor in donors])
    weights /= weights.sum()
    names = {name for donor in donors for name in donor} - known.keys() - {"team"}
    if told:
        shares = {name: sum(w for w, donor in zip(weights, donors, strict=True) if name in donor) for name in names}
        names = {name for name in names if shares[name] >= 0.5}
    if not names:
        return Candidates((known,), np.ones(1))
    filled = tuple({**{name: donor[name] for name in sorted(names & donor.keys())}, **known} for donor in donors)
    return Candidates(filled, weights, _share(model, names))


def _share(model: Model, names: Set[str]) -> float:
    columns = model.design.encoder.columns
    lengths = (model.trouble.scales * model.varying)[: len(columns)] ** 2
    missing = sum(length for column, length in zip(columns, lengths, strict=True) if column.trait in names)
    return float(missing / max(lengths.sum(), 1e-12))


def _weight(told: Traits, donor: Traits, sizes: Mapping[str, float]) -> float:
    agreed = agreements(told, {name: donor[name] for name in told.keys() & donor.keys()}, sizes)
    return float(np.exp(-FOCUS * sum(1.0 - each for each in agreed.values())))


def _of_the_change(traits: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in traits.items() if is_intrinsic(name) and name != "team"}


def rows_of(model: Model, candidates: Sequence[Traits]) -> Floats:
    """The rows that the fits know (m, p)."""
    return model.design.rows(candidates, [model.home] * len(candidates))

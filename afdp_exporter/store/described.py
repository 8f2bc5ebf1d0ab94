"""What a commit changed, beside what a deployment says itself. Pure."""

from dataclasses import replace

from afdp_exporter.model import CommitChange, Deployment


def described_by(deployment: Deployment, change: CommitChange | None) -> Deployment:
    """The deployment with what its commit changed; what it says itself holds."""
    if change is None:
        return deployment
    traits = {**change.traits, **deployment.traits}
    return replace(deployment, traits=traits, change_types=deployment.change_types or change.change_types)


def undescribed(deployment: Deployment, change: CommitChange | None) -> Deployment:
    """The deployment as it was before `described_by`."""
    if change is None:
        return deployment
    own = {name: value for name, value in deployment.traits.items() if change.traits.get(name) != value}
    types = () if deployment.change_types == change.change_types else deployment.change_types
    return replace(deployment, traits=own, change_types=types)


def united(known: CommitChange, change: CommitChange) -> CommitChange:
    """Of two figures for the same trait the larger one: a push may have left files out."""
    traits = dict(known.traits)
    for name, value in change.traits.items():
        mine = traits.get(name)
        traits[name] = max(mine, value) if isinstance(mine, float) and isinstance(value, float) else value
    types = tuple(sorted({*known.change_types, *change.change_types}))
    return replace(known, traits=traits, change_types=types)

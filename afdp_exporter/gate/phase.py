"""How far a rollout is, as the gate asks about it."""

from afdp_exporter.model import Deployment, Phase, Strategy


def phase_of(deployment: Deployment) -> Phase:
    """Before it, canary with a part of the traffic, preview of a green without any, promotion, or after it."""
    if deployment.planned:
        return Phase.PLAN
    if not deployment.running:
        return Phase.POST
    if deployment.strategy is Strategy.BLUE_GREEN and deployment.traffic_ratio is None:
        return Phase.PREVIEW
    partial = deployment.traffic_ratio is not None and deployment.traffic_ratio < 1.0
    return Phase.CANARY if partial or deployment.strategy is Strategy.CANARY else Phase.PROMOTE

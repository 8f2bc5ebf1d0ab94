"""Which deployment a count or a duration was of: exemplars, which only OpenMetrics carries."""

_LABEL = "deployment_id"
_LONGEST = 128  # characters of all labels of an exemplar, by OpenMetrics


def of_deployment(deployment_id: str | None) -> dict[str, str] | None:
    """The exemplar that names a deployment; None where there is none, or its id is too long for one."""
    if deployment_id is None or len(_LABEL) + len(deployment_id) > _LONGEST:
        return None
    return {_LABEL: deployment_id}

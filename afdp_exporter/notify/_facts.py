"""A notice as fields with one meaning each, for receivers that are programs."""

import hashlib
import re
from datetime import datetime
from typing import Any

from afdp_exporter.model import Cost, Deployment, Estimate, Harm, Notification, Outcome, Shift


def facts(notice: Notification) -> dict[str, Any]:
    """What is known, as JSON: times in RFC 3339, figures with their range, absent what is not known."""
    deployment, impact = notice.deployment, notice.impact
    decision = notice.measured.decision
    found: dict[str, Any] = {
        "id": deployment.id,
        "service": deployment.service,
        "environment": deployment.environment,
        "version": deployment.version,
        "previous_version": deployment.previous_version,
        "commit": deployment.commit,
        "status": str(deployment.status),
        "started_at": _time(deployment.started_at),
        "finished_at": _time(deployment.finished_at),
        "outcome": str(decision.outcome),
        "outcome_reason": decision.reason,
        "headline": notice.headline,
        "report_url": notice.report_url,
    }
    if impact is not None:
        found |= {
            "verdict": str(impact.verdict),
            "measured_at": _time(impact.measured_at),
            "harm": _harm(impact.harm),
            "costs": [_cost(each) for each in impact.costs],
            "shifts": [_shift(each) for each in impact.shifts],
            "story": list(impact.story),
        }
    return _known(found)


def attributes(notice: Notification) -> dict[str, str | float | bool]:
    """The same as flat attributes, each of one figure or text; money per hour where there is one currency of it."""
    known = facts(notice)
    names = ("id", "service", "environment", "version", "commit", "status", "outcome", "verdict")
    found: dict[str, str | float | bool] = {name: known[name] for name in names if name in known}
    found["headline"] = notice.headline
    if notice.report_url is not None:
        found["report_url"] = notice.report_url
    impact = notice.impact
    if impact is not None and impact.harm is not None:
        found["harm"] = str(impact.harm.state)
    if impact is not None and len({cost.currency for cost in impact.costs}) == 1:
        cost = impact.costs[0]
        found |= {"currency": cost.currency, "cost_per_hour": cost.per_hour.median}
        found |= {"cost_per_hour_low": cost.per_hour.low, "cost_per_hour_high": cost.per_hour.high}
        if cost.total is not None:
            found["cost_total"] = cost.total.median
    return found


def gauges(notice: Notification) -> list[tuple[str, float, str]]:
    """Name, value and unit of what was measured; none before that. A cost that ended costs nothing an hour."""
    impact = notice.impact
    if impact is None:
        return []
    found = [("harm_active", float(impact.harm is not None and impact.harm.active), "")]
    if notice.measured.decision.outcome is not Outcome.UNKNOWN:
        found.append(("failed", float(failed(notice)), ""))
    for cost in impact.costs:
        now = Estimate(low=0.0, median=0.0, high=0.0) if cost.ended else cost.per_hour
        names = ("cost_per_hour", "cost_per_hour_low", "cost_per_hour_high")
        found += zip(names, (now.median, now.low, now.high), (cost.currency,) * 3, strict=True)
    return found


def failed(notice: Notification) -> bool:
    """Whether it counts as a failed change."""
    return notice.measured.decision.outcome in {Outcome.DEGRADATION, Outcome.FAILURE}


def key(deployment: Deployment) -> str:
    """64 characters that stand for a deployment wherever it is reported, and say nothing of it."""
    return hashlib.sha256(f"afdp:{deployment.id}".encode()).hexdigest()


def _harm(harm: Harm | None) -> dict[str, Any] | None:
    if harm is None:
        return None
    times = {"since": _time(harm.since), "over_at": _time(harm.over_at), "as_of": _time(harm.as_of)}
    return _known({"state": str(harm.state), "metrics": list(harm.metrics), **times})


def _cost(cost: Cost) -> dict[str, Any]:
    total = _estimate(cost.total) if cost.total is not None else None
    found = {"currency": cost.currency, "per_hour": _estimate(cost.per_hour), "total": total, "ended": cost.ended}
    return _known(found | {"as_of": _time(cost.as_of)})


def _shift(shift: Shift) -> dict[str, Any]:
    state = str(shift.state) if shift.state is not None else None
    found = {"metric": shift.metric, "verdict": str(shift.verdict), "reason": shift.reason, "state": state}
    return _known(found | {"change": shift.change, "low": shift.low, "high": shift.high})


def _estimate(figure: Estimate) -> dict[str, float]:
    return {"low": figure.low, "median": figure.median, "high": figure.high}


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment is not None else None


def _known(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}


_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#|!~&$%:+=^\"'-])")
_LONGEST = 2000  # characters of one sentence


def comment(notice: Notification) -> str:
    """The marker by which it is found again, what became of the deployment, its story, and the link."""
    lines = [marker(notice.deployment), f"**{escaped(notice.headline)}**", ""]
    lines += [f"- {escaped(sentence)}" for sentence in (notice.impact.story if notice.impact is not None else ())]
    if notice.report_url is not None:
        lines += ["", f"[Report](<{notice.report_url}>)"]
    return "\n".join(lines)


def marker(deployment: Deployment) -> str:
    """The first line of the comment on a deployment; it is not shown."""
    return f"<!-- afdp:{key(deployment)} -->"


def escaped(text: str) -> str:
    """One line that reads as the text, and mentions nobody."""
    line = " ".join(text.split())
    line = line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
    return re.sub(r"^(?=[/\d])", "\u2060", _SPECIAL.sub(r"\\\1", line).replace("@", "@\u2060"))


def shortened(text: str, longest: int) -> str:
    """One line of plain text of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"

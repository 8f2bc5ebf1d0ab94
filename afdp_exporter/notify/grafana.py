"""Annotations in Grafana: a region for each deployment, whose text and tags change as more is known.

Nothing has to be remembered here: an annotation is found again by its tags, so that a notice that is sent once more,
or after a crash, changes the annotation that is there instead of adding another one.
"""

import hashlib
import html
from dataclasses import dataclass
from typing import Any, ClassVar

from afdp_exporter.http_config import Address
from afdp_exporter.model import Deployment, Notification
from afdp_exporter.notify._exchange import Exchange

_PATH = "/api/annotations"
_OURS = "afdp"
_LONGEST_TAG = 80  # characters of a value: Grafana's tables take 100, and all tags together 500 bytes
_LONGEST_TEXT = 2000


@dataclass(frozen=True, kw_only=True)
class Grafana(Exchange):
    """A Grafana at `url`, whose token or user may read and write annotations.

    With `dashboard_uid` (and `panel_id`) the annotations belong to one dashboard; without, to the organisation, and
    dashboards show them by their tags. `tags` are added to our own. Each annotation links to its report
    where people reach this exporter's pages: at `report_url`, else at `--web.external-url`.
    """

    appends: ClassVar[bool] = False

    dashboard_uid: str | None = None
    panel_id: int | None = None
    tags: tuple[str, ...] = ()
    report_url: Address | None = None

    async def reach(self) -> None:
        """As `Receiver.reach`: read one annotation. Whether we may write, too, shows with the first."""
        await self.call("GET", _PATH, params=[("tags", _OURS), ("type", "annotation"), ("limit", "1")])

    async def send(self, notice: Notification) -> None:
        """As `Receiver.send`: make the one annotation of this deployment say what is known now."""
        content = self._content(notice)
        wanted = [("tags", _OURS), ("tags", _mark(notice.deployment)), ("type", "annotation"), ("limit", "10")]
        found = sorted(entry["id"] for entry in await self.call("GET", _PATH, params=wanted))
        if not found:
            place = {"dashboardUID": self.dashboard_uid, "panelId": self.panel_id}
            added = {name: value for name, value in place.items() if value is not None}
            await self.call("POST", _PATH, content | added)
            return
        first, *doubles = found
        await self.call("PATCH", f"{_PATH}/{first}", content)
        for double in doubles:  # of an earlier try whose answer never came
            await self.call("DELETE", f"{_PATH}/{double}")

    def _content(self, notice: Notification) -> dict[str, Any]:
        deployment = notice.deployment
        text = html.escape(notice.headline[:_LONGEST_TEXT], quote=False)  # Grafana shows it as HTML
        report = f"{self.report_url}/deployments/{deployment.id}" if self.report_url is not None else notice.report_url
        if report is not None:
            text += f' <a href="{html.escape(report)}">Report</a>'
        outcome = [f"outcome:{notice.measured.decision.outcome}"] if notice.measured.known else []
        place = [f"service:{_short(deployment.service)}", f"environment:{_short(deployment.environment)}"]
        return {
            "time": int(deployment.started_at.timestamp() * 1000),
            "timeEnd": int(deployment.ended_at.timestamp() * 1000),
            "tags": [_OURS, _mark(deployment), *place, f"status:{deployment.status}", *outcome, *self.tags],
            "text": text,
        }


def _mark(deployment: Deployment) -> str:
    """The tag by which the annotation of a deployment is found again."""
    name = deployment.id
    if len(name) > _LONGEST_TAG:
        name = hashlib.sha256(name.encode()).hexdigest()[:_LONGEST_TAG]
    return f"deployment:{name}"


def _short(text: str) -> str:
    return text[:_LONGEST_TAG].strip()


PLUGIN = Grafana

"""What is told to other programs when something has happened."""

from dataclasses import dataclass

from afdp_exporter.model.deployments import Deployment
from afdp_exporter.model.impacts import Impact, Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A deployment with what is known of it by now; `headline` is that in one line of plain text."""

    deployment: Deployment
    impact: Impact | None
    headline: str
    report_url: str | None = None  # the page of the deployment, where the exporter knows how it is reached

    @property
    def measured(self) -> Measured:
        """The deployment with what it did."""
        return Measured(deployment=self.deployment, impact=self.impact)


@dataclass(frozen=True, slots=True, kw_only=True)
class DueNotice:
    """A deployment of which a receiver has not heard the latest.

    `version` counts the changes, `attempts` the failures since the latest of them; `sent` is the digest of what the
    receiver heard last.
    """

    receiver: str
    deployment_id: str
    version: int
    attempts: int = 0
    sent: str | None = None

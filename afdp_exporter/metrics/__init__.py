"""What `/metrics` shows: of the deployments (`board.py`) and of the exporter itself. A scrape reads memory only."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, ClassVar

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics import disable_created_metrics
from pydantic import Field

from afdp_exporter.metrics.bills import Bills
from afdp_exporter.metrics.board import DeploymentBoard
from afdp_exporter.metrics.events import Events
from afdp_exporter.metrics.gate import Gate
from afdp_exporter.metrics.predictions import Outlook
from afdp_exporter.metrics.rollouts import Rollouts
from afdp_exporter.metrics.self_monitoring import Annotations, Looks, Notifications, Process, Queries, Refusals
from afdp_exporter.metrics.stability import StabilityBoard
from afdp_exporter.model import Deployment, Impact
from afdp_exporter.settings import STRICT

_PLAIN = ""
_OPENMETRICS = "application/openmetrics-text; version=1.0.0"
_EOF = b"# EOF\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardinalityLimits:
    """How much is shown on `/metrics`: the newest deployments of each service, under a cap on all series."""

    __pydantic_config__: ClassVar = STRICT

    deployments_per_service: Annotated[int, Field(ge=1, le=1000)] = 20
    series: Annotated[int, Field(ge=1000)] = 25_000


class SelfMetrics:
    """What the exporter reports of the deployments and of itself, in a registry of its own."""

    def __init__(self, exposure: CardinalityLimits) -> None:
        disable_created_metrics()
        self._board = DeploymentBoard(per_service=exposure.deployments_per_service, cap=exposure.series)
        self._registry = own = CollectorRegistry()
        self._dropped = Counter(
            "afdp_series_dropped", "Series that scrapes did not show because of the cap.", registry=own
        )
        self.outlook = Outlook(exposure.series, self._dropped.inc)
        self.stability, self.events = StabilityBoard(exposure.series), Events()
        self.rollouts, self.bills = Rollouts(), Bills()
        self.annotations = Annotations(own)
        self.queries = Queries(own)
        self.looks = Looks(own)
        self.notifications = Notifications(own)
        self.process = Process(own)
        self._beside = CollectorRegistry()
        self.gate = Gate(own, self._beside)
        for collector in (self.outlook, self.stability, self.events, self.gate, self.rollouts, self.bills):
            self._beside.register(collector)
        self.refusals = Refusals(own)

    def expose(self, exposure: CardinalityLimits) -> None:
        """Obey other limits from the next deployment on."""
        self._board.limit(per_service=exposure.deployments_per_service, cap=exposure.series)
        self.outlook.cap = self.stability.cap = exposure.series

    def show(self, deployment: Deployment, impact: Impact | None = None) -> None:
        """Show a deployment from now on, as it is now; an impact that is known already stays."""
        self._dropped.inc(self._board.show(deployment, impact))

    def measured(self, impact: Impact) -> None:
        """Show what a deployment did, as long as it is shown at all."""
        self._dropped.inc(self._board.measured(impact))

    def render(self, accept: str = "", names: Collection[str] = (), *, deployments: bool = True) -> tuple[bytes, str]:
        """The page in the format that an Accept header asks for, and its content type.

        Without `deployments` only what concerns this process is there; where `names` are given, only the families of
        these names are. It may take a while: call this off the event loop.
        """
        kind = _OPENMETRICS if any(map(_is_openmetrics, accept.split(","))) else _PLAIN
        if not deployments:
            body = _render(self._registry, kind, names)
        elif names:
            body = _render(self._registry, kind, names) + _render(self._beside, kind, names) + self._board.render(names)
        else:
            beside = _render(self._beside, kind)
            self._dropped.inc(self._board.leave_room(_series(beside)))
            body = _render(self._registry, kind) + beside + self._board.render()
        return body + (_EOF if kind == _OPENMETRICS else b""), choose_encoder(kind)[1]


def _is_openmetrics(accepted: str) -> bool:
    kind, *parameters = (part.strip() for part in accepted.split(";"))
    versions = [part for part in parameters if part.startswith("version=")]
    return kind == "application/openmetrics-text" and versions in ([], ["version=1.0.0"])


def _series(page: bytes) -> int:
    return sum(not line.startswith(b"#") for line in page.splitlines())


def _render(registry: CollectorRegistry, accept: str, names: Collection[str] = ()) -> bytes:
    chosen = registry.restricted_registry(names) if names else registry
    return choose_encoder(accept)[0](chosen).removesuffix(_EOF)

"""Amazon CloudWatch: what a deployment did as metrics of a service, on which alarms can take it back."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import StringConstraints

from afdp_exporter.aws import AWS
from afdp_exporter.errors import ActionError, ActionRefused, DeliveryError
from afdp_exporter.model import Notification
from afdp_exporter.notify._facts import gauges

_HOPELESS = re.compile(r"answers (Invalid\w*|Validation\w*|Missing\w*|LimitExceeded\w*)")
_LONGEST = 255  # characters of a dimension's value


@dataclass(frozen=True, kw_only=True)
class CloudWatch(AWS):
    """Writes to `namespace` with credentials that may `cloudwatch:PutMetricData`.

    Points at the same time add up to a statistic of the same value, so that one that is sent again changes no average,
    minimum or maximum.
    """

    service: ClassVar[str] = "cloudwatch"
    appends: ClassVar[bool] = False

    namespace: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_./#:-]+$", max_length=255)] = "AFDP"

    def __post_init__(self) -> None:
        if self.namespace.startswith("AWS/"):
            raise ValueError("namespaces that begin with AWS/ are Amazon's own")

    async def reach(self) -> None:
        """As `Receiver.reach`: list what is there, for which `cloudwatch:ListMetrics` is needed."""
        await self._ask("ListMetrics", Namespace=self.namespace)

    async def send(self, notice: Notification) -> None:
        """As `Receiver.send`; what is not measured has no metric."""
        if data := _data(notice):
            await self._ask("PutMetricData", Namespace=self.namespace, MetricData=data)

    async def _ask(self, operation: str, **params: Any) -> None:  # noqa: ANN401 - as the operation wants it
        try:
            await self.read(operation, **params)
        except ActionError as error:
            hopeless = isinstance(error, ActionRefused) and _HOPELESS.search(str(error)) is not None
            raise DeliveryError("refused", f"CloudWatch: {error}", retry=not hopeless) from None


def _data(notice: Notification) -> list[dict[str, Any]]:
    """As PutMetricData takes it."""
    if notice.impact is None:
        return []
    return [
        {
            "MetricName": "".join(word.capitalize() for word in name.split("_")),
            "Dimensions": _dimensions(notice, currency),
            "Timestamp": notice.impact.measured_at,
            "Value": value,
        }
        for name, value, currency in gauges(notice)
    ]


def _dimensions(notice: Notification, currency: str) -> list[dict[str, str]]:
    named = {"Service": notice.deployment.service, "Environment": notice.deployment.environment}
    named |= {"Currency": currency} if currency else {}
    return [{"Name": name, "Value": _ascii(value)} for name, value in named.items()]


def _ascii(text: str) -> str:
    """A value as CloudWatch takes it: printable ASCII that does not begin with a colon."""
    plain = "".join(char if char.isascii() and char.isprintable() else "?" for char in text)
    return plain.strip().lstrip(":")[:_LONGEST] or "?"


PLUGIN = CloudWatch

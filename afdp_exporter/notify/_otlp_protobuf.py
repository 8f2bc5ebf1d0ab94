"""OTLP's messages in the binary form of Protocol Buffers, read from their JSON form by OpenTelemetry's own classes."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

_REQUESTS: dict[str, Any] = {"metrics": ExportMetricsServiceRequest, "logs": ExportLogsServiceRequest}
_RESPONSES: dict[str, Any] = {"metrics": ExportMetricsServiceResponse, "logs": ExportLogsServiceResponse}


def encode(signal: str, body: Mapping[str, Any]) -> bytes:
    """The body of a call."""
    return bytes(ParseDict(body, _REQUESTS[signal]()).SerializeToString())


def decode(signal: str, answer: bytes) -> dict[str, Any]:
    """What is answered, in its JSON form. Raises ValueError where it is none."""
    try:
        found: dict[str, Any] = MessageToDict(_RESPONSES[signal].FromString(answer))
    except DecodeError as error:
        raise ValueError(str(error)) from None
    return found

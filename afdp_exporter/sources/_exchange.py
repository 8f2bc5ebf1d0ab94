"""One question over HTTP, within its limits: no redirects, no more bytes or seconds than allowed, plain errors."""

import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import requests
import urllib3
from prometheus_api_client import PrometheusConnect
from requests.adapters import BaseAdapter, HTTPAdapter

from afdp_exporter.errors import SourceRefused, SourceUnavailable
from afdp_exporter.http_config import TLSConfig
from afdp_exporter.model import Floats
from afdp_exporter.sources import _envelope

_CHUNK = 65_536
_ERROR_BYTES = 65_536  # of an answer that only tells of an error
_BUSY = {429, 502, 503, 504}


class Busy(SourceUnavailable):
    """Worth another try at once, or after the `wait` seconds that the server asks for."""

    def __init__(self, reason: str, message: str, wait: float | None = None) -> None:
        super().__init__(reason, message)
        self.wait = wait


class Pool(HTTPAdapter):
    """The open connections to one server; shared by all sessions with it."""

    def __init__(self, connections: int, server_name: str | None) -> None:
        self._name = {"server_hostname": server_name} if server_name else {}
        super().__init__(pool_connections=1, pool_maxsize=connections)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:  # noqa: ANN401 - as in requests
        super().init_poolmanager(connections, maxsize, block, **self._name, **options)


class Exchange(requests.Session):
    """The session in which prometheus-api-client asks one question; keeps the warnings, too."""

    def __init__(
        self, *, pool: Pool, headers: Mapping[str, str], tls: TLSConfig, seconds: float, max_bytes: int
    ) -> None:
        super().__init__()
        self.trust_env = False  # no proxies, certificates or passwords but the configured ones
        self.verify, self.cert = tls.verify, tls.certificate
        self.headers.update(headers)
        self._answer = _envelope.Answer([])
        self._pool = pool
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._max_bytes = max_bytes

    def ask(self, url: str, query: str, points: Floats, step: float, params: Mapping[str, Any]) -> _envelope.Answer:
        """What the API answers, at the points from first to last. Raises SourceError."""
        client = PrometheusConnect(url, session=self, method="POST", timeout=self._seconds)
        start, end = (datetime.fromtimestamp(float(point), UTC) for point in (points[0], points[-1]))
        try:
            client.custom_query_range(query, start, end, f"{step:.0f}", params=dict(params))
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _explain(error) from None
        return self._answer

    def get_adapter(self, url: str) -> BaseAdapter:  # noqa: ARG002 - as in requests
        """The shared connections, whatever the client mounts."""
        return self._pool

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """The question goes into the body: an address has its limits, and stands in every proxy's log."""
        request.data, request.params = request.params, {}
        return super().prepare_request(request)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # noqa: ANN401 - as in requests
        """The answer, read and checked."""
        answer = super().send(request, **{**options, "stream": True, "allow_redirects": False})
        try:
            body = self._body(answer)
        finally:
            answer.close()
        self._answer = _envelope.read(body)
        return _Read(self._answer.result)

    def _body(self, answer: requests.Response) -> bytes:
        if 300 <= answer.status_code < 400:
            raise SourceUnavailable("redirect", f"it redirects ({answer.status_code}), which is not followed")
        if answer.status_code in _BUSY:
            wait = answer.headers.get("Retry-After", "")
            seconds = float(wait) if wait.isascii() and wait.isdigit() else None
            raise Busy(f"http_{answer.status_code}", f"it answers {answer.status_code}", seconds)
        well = answer.status_code == 200
        most = self._max_bytes if well else _ERROR_BYTES
        body = self._beginning(answer, most)
        if not well:
            raise _envelope.failure(answer.status_code, body)
        if len(body) > most:
            raise SourceRefused("too_large", f"its answer is larger than {most} bytes; ask for fewer series")
        return body

    def _beginning(self, answer: requests.Response, most: int) -> bytes:
        """The body, or its beginning where it has more than so many bytes."""
        body = bytearray()
        while len(body) <= most and (chunk := answer.raw.read1(_CHUNK, decode_content=True)):
            body += chunk
            if time.monotonic() > self._deadline:
                raise SourceUnavailable("timeout", f"no whole answer within {self._seconds:g} s")
        return bytes(body)


class _Read(requests.Response):
    """An answer that was read already, for prometheus-api-client to pick the result from."""

    def __init__(self, result: _envelope.Result) -> None:
        super().__init__()
        self.status_code = 200
        self._result = result

    def json(self, **_: Any) -> Any:  # noqa: ANN401 - as in requests
        return {"data": {"result": self._result}}


def _explain(error: Exception) -> SourceUnavailable:
    """The library's error as one of ours. Its own words are left out: they may hold headers, and so secrets."""
    cause = _root(error)
    words = getattr(cause, "verify_message", None) or getattr(cause, "strerror", None) or type(cause).__name__
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return SourceUnavailable("timeout", "no answer in time")
    if isinstance(cause, ssl.SSLError) or isinstance(error, requests.exceptions.SSLError):
        return SourceUnavailable("tls", f"no trusted connection: {_envelope.plain(words)}")
    if isinstance(error, requests.ConnectionError | urllib3.exceptions.ProtocolError):
        return Busy("connection", f"no connection: {_envelope.plain(words)}")
    return SourceUnavailable("malformed", f"no usable exchange: {type(cause).__name__}")


def _root(error: BaseException) -> BaseException:
    below = error.__cause__ or error.__context__
    return error if below is None else _root(below)

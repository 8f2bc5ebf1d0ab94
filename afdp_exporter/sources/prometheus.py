"""Prometheus, and whatever speaks its HTTP API: Thanos, Mimir, Cortex, VictoriaMetrics."""

import asyncio
import ipaddress
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial, reduce
from http import HTTPStatus
from itertools import chain
from typing import Annotated, Any, ClassVar, TypeAlias
from urllib.parse import urlencode, urlsplit

import numpy as np
import requests
from prometheus_api_client import PrometheusConnect
from pydantic import Field

from afdp_exporter.errors import CallFailed, SecretUnreadable, SourceError, SourceRefused, SourceUnavailable
from afdp_exporter.http_client import RESTS, Answer, Client, tried
from afdp_exporter.http_config import Address, Authorization, BasicAuth, Header, TLSConfig, headers
from afdp_exporter.logins import Login, called
from afdp_exporter.logins.azuread import AzureAD
from afdp_exporter.logins.google_iam import GoogleIAM
from afdp_exporter.logins.oauth2 import OAuth2
from afdp_exporter.logins.sigv4 import SigV4
from afdp_exporter.model import Floats, Series, Window
from afdp_exporter.settings import STRICT, Duration
from afdp_exporter.sources import Bound, Fetched, Freshness, FreshnessAnswer, _prometheus_json, grid
from afdp_exporter.sources._concurrency import AdaptiveConcurrency
from afdp_exporter.sources._promql import PromQL, SpeaksPromQL, filled, metric_names, selectors

_POINTS = 11_000  # a series in one answer; Prometheus refuses more
_TRIES = 3
_PROBE = 10.0  # seconds
_SMALL = 65_536  # bytes of an answer that is read in less time than a thread takes to begin
_LONGEST_LOOKBACK = 3600.0  # seconds for which a server repeats a sample, at most
_FRESH = timedelta(minutes=45)  # at the end of a window, of which time stamps are asked for: each costs Prometheus
_FRESH_POINTS = 240  # two milliseconds in releases before 2.45, a hundred times what a value costs
_SELECTORS = 4  # of a query, whose time stamps are asked for
_TOGETHER = 12  # selectors of which one question asks
_UNVALUED = 10_000  # queries that are remembered
_PLACE = "afdp_place"  # the label by which their answers are known
_VALUE = "afdp_value"  # and those of the queries themselves
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_OWN_PARAMS = {"query", "start", "end", "step", "timeout"}
_LOGINS = ("basic_auth", "authorization", "oauth2", "sigv4", "azuread", "google_iam")
_AZURE = "https://prometheus.monitor.azure.com/.default"
_COST = "max_samples_processed_error_threshold"  # a dearer query is refused by Amazon, and not charged
_OWN_HEADERS = {"authorization", "accept-encoding", "content-length", "content-type", "host"}


@dataclass(frozen=True, kw_only=True)
class Prometheus(SpeaksPromQL):
    """A server with the Prometheus HTTP API at `url`; the blocks are those of Prometheus' own `http_config`.

    `timeout` is for one answer of at most `max_bytes`; `concurrency` is how many are awaited at once, fewer while the
    server is overloaded; `params` are sent with each question (`partial_response: "false"` for Thanos). Samples younger
    than `settles_after` are not asked for: where they come late, the end of a window would look like a drop.
    """

    __pydantic_config__: ClassVar = STRICT
    remote: ClassVar = True

    url: Address
    timeout: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(seconds=30)
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    max_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024 * 1024
    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    oauth2: OAuth2 | None = None
    sigv4: SigV4 | None = None
    azuread: AzureAD | None = None
    google_iam: GoogleIAM | None = None
    tls_config: TLSConfig = TLSConfig()
    http_headers: Mapping[str, Header] = field(default_factory=dict)
    params: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    settles_after: Annotated[Duration, Field(ge=timedelta(0))] = timedelta(0)
    allow_link_local: bool = False

    def __post_init__(self) -> None:
        if sum(getattr(self, name) is not None for name in _LOGINS) > 1:
            raise ValueError(f"at most one of {', '.join(_LOGINS[:-1])} and {_LOGINS[-1]} can stand")
        for taken in sorted(_OWN_PARAMS & set(self.params)):
            raise ValueError(f"params cannot hold {taken}, which is set by each question")
        for taken in sorted(_OWN_HEADERS & {name.lower() for name in self.http_headers}):
            raise ValueError(f"http_headers cannot hold {taken}")

    def prepare(self, query: str | Mapping[str, Any]) -> PromQL:
        """As `Source.prepare`; a workspace of Azure Monitor answers only where each selector names its metric."""
        found = super().prepare(query)
        if self._is_azures and None in metric_names(filled(found.text)):
            raise SourceRefused("bad_query", "Azure Monitor wants a metric's name in each selector")
        return found

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        """As `Source.fetch`; ranges of more points than Prometheus gives at once are asked for in pieces.

        `reason` of an error is `timeout`, `connection`, `tls`, `redirect`, `too_large`, `malformed`, `partial`,
        `secret_file`, `native_histogram`, `http_503` and the like, or the API's own word (`bad_data`, `execution`).
        """
        return list(await asyncio.gather(*(self._fetched(each.text, window, step) for each in asked)))

    async def freshness(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[FreshnessAnswer]:
        """As `Source.freshness`: by the time stamps of each query's own selectors; the newest of them counts.

        The values of a query are asked for in the same question. A query of which the server refuses the time stamps is
        answered None; `reason` of an error is as that of `fetch`.
        """
        try:
            points = grid(window, step)[-min(math.ceil(_FRESH / step), _FRESH_POINTS) :]
        except SourceError:
            return [None] * len(asked)  # whoever asks for the values themselves is informed why
        wanted = [selectors(each.text)[:_SELECTORS] for each in asked]
        each = list(dict.fromkeys(chain.from_iterable(wanted)))
        most = 1 if self._is_azures else _TOGETHER
        parts = [each[first : first + most] for first in range(0, len(each), most)]
        texts = {each.text: own for each, own in zip(asked, wanted, strict=True) if own}
        valued = {} if self._is_azures else {text: own for text, own in texts.items() if text not in self._unvalued}
        questions = [_Stamps(part, [text for text, own in valued.items() if set(own) <= set(part)]) for part in parts]
        found = await asyncio.gather(*(self._stamped(each, points, step.total_seconds()) for each in questions))
        newest = {selector: stamps for each in found for selector, stamps in each.newest.items()}
        values = {text: known for each in found for text, known in each.values.items()}
        answered_at = max((each.at for each in found if each.at is not None), default=None)
        return [
            _freshness([newest[selector] for selector in own], points, answered_at, values.get(each.text))
            for each, own in zip(asked, wanted, strict=True)
        ]

    async def _stamped(self, asked: "_Stamps", points: Floats, step: float) -> "_Stamped":
        """What one question says; where it is refused or takes too long, what is said of each selector by itself.

        Queries that kept the selectors from being answered are not asked for their values again.
        """
        try:
            answer = await self._answered(asked.text, points, step)
            return asked.read(_series([_body(answer)], points, step), points, answer.date)
        except (CallFailed, SourceError) as error:
            away = isinstance(error, CallFailed) and error.again  # no connection, for none of them
            if away or (len(asked.selectors) == 1 and not asked.queries):
                return _Stamped(dict.fromkeys(asked.selectors, self._untold(error)))
            each = (_Stamps([selector], ()) for selector in asked.selectors)
            alone = await asyncio.gather(*(self._stamped(one, points, step) for one in each))
            newest = {selector: stamps for part in alone for selector, stamps in part.newest.items()}
            if all(isinstance(stamps, np.ndarray) for stamps in newest.values()):
                self._unvalued.update(asked.queries if len(self._unvalued) < _UNVALUED else ())
            return _Stamped(newest, at=max((part.at for part in alone if part.at is not None), default=None))

    def _untold(self, error: CallFailed | SourceError) -> SourceUnavailable | None:
        """Why time stamps are not known; None where the server cannot tell them, however often it is asked."""
        if isinstance(error, SourceRefused):
            return None
        return SourceUnavailable(error.reason, f"{self.url}, asked how new its samples are: {error}")

    async def reach(self) -> None:
        """As `Source.reach`."""
        seconds = min(self.timeout.total_seconds(), _PROBE)
        try:
            _prometheus_json.read(_body(await self._call("vector(1)", np.zeros(1), 1.0, seconds)))
        except (CallFailed, SourceUnavailable) as error:
            raise SourceUnavailable(error.reason, f"{self.url}: {error}") from None
        except SourceRefused:
            return  # it answers, and only wants to be asked for what it has

    async def _fetched(self, query: str, window: Window, step: timedelta) -> Fetched:
        try:
            points = grid(window, step)
            pieces = [points[first : first + _POINTS] for first in range(0, len(points), _POINTS)]
            bodies = [await self._ask(query, piece, step.total_seconds()) for piece in pieces]
            read = partial(_series, bodies, points, step.total_seconds())
            small = sum(map(len, bodies)) <= _SMALL
            found = read() if small else await asyncio.to_thread(read)
            advice = self._advice(query)
            return [replace(each, notes=each.notes + advice) for each in found] if advice else found
        except CallFailed as error:
            return SourceUnavailable(error.reason, f"{self.url}: {error}")
        except SourceError as error:
            kind = SourceRefused if isinstance(error, SourceRefused) else SourceUnavailable
            advice = self._advice(query) if self._is_azures and kind is SourceRefused else ()
            return kind(error.reason, "; ".join([f"{self.url}: {error}", *advice]))

    async def _ask(self, query: str, points: Floats, step: float) -> bytes:
        return _body(await self._answered(query, points, step))

    async def _answered(self, query: str, points: Floats, step: float) -> Answer:
        """One answer, after a few tries where another try may help."""
        return await tried(lambda: self._in_turn(query, points, step), tries=_TRIES, again=_is_overloaded)

    async def _in_turn(self, query: str, points: Floats, step: float) -> Answer:
        """The answer to one call, once as many may be under way."""
        async with self._slots.slot() as slot:
            return slot.answered(await self._call(query, points, step, self.timeout.total_seconds()))

    async def _call(self, query: str, points: Floats, step: float, seconds: float) -> Answer:
        params = {"nocache": "1", **self.params, "timeout": f"{seconds:g}"}  # VictoriaMetrics shifts what it caches
        url, form = self._question.laid_out(query, points, step, params)
        encoding = "identity" if self._near else "gzip"  # compressing costs a server more than sending next door
        try:
            sent = (
                headers(self.basic_auth or self.authorization, self.http_headers)
                | _FORM
                | {"Accept-Encoding": encoding}
            )
            return await called(
                self._client,
                self._login,
                "POST",
                url,
                headers=sent,
                data=urlencode(form, doseq=True).encode(),
                seconds=seconds,
                most=self.max_bytes,
            )
        except SecretUnreadable as error:
            raise SourceUnavailable("secret_file", str(error)) from None
        except CallFailed as error:
            if error.reason == "too_large":
                raise SourceRefused(error.reason, f"{error}; ask for fewer series") from None
            raise

    def _advice(self, query: str) -> tuple[str, ...]:
        """What a managed service may refuse or charge about a query."""
        if self._is_azures and len(names := metric_names(query)) > 1:
            several = ", ".join(map(str, names))
            return (f"Azure Monitor may refuse a query of several metrics ({several}): record their result by a rule",)
        if self.sigv4 is not None and self.sigv4.service_name == "aps" and _COST not in self.params:
            return (f"nothing limits what this query may cost: params can hold {_COST}",)
        return ()

    @property
    def _is_azures(self) -> bool:
        return self.azuread is not None and self.azuread.scope is None

    @cached_property
    def _login(self) -> Login | None:
        return self.oauth2 or self.sigv4 or self.google_iam or (self.azuread and self.azuread.reading(_AZURE))

    @cached_property
    def _near(self) -> bool:
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @cached_property
    def _question(self) -> "_Question":
        return _Question(self.url)

    @cached_property
    def _unvalued(self) -> set[str]:
        return set()

    @cached_property
    def _slots(self) -> AdaptiveConcurrency:
        return AdaptiveConcurrency(self.concurrency)

    @cached_property
    def _client(self) -> Client:
        return Client(
            self.tls_config,
            connections=self.concurrency + 1,  # one for `reach`
            allow_link_local=self.allow_link_local,
            rest=RESTS,
        )


class _Question(requests.Session):
    """The session in which prometheus-api-client lays out questions; they are sent by our own client."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._client = PrometheusConnect(url, session=self, method="POST")

    def laid_out(
        self, query: str, points: Floats, step: float, params: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """Where a question goes, and its form: an address has its limits, and stands in every proxy's log."""
        start, end = (datetime.fromtimestamp(float(point), UTC) for point in (points[0], points[-1]))
        self._client.custom_query_range(query, start, end, f"{step:.0f}", params=dict(params))
        return self.url, self.form

    def request(self, method: str, url: str, params: Mapping[str, Any], **_: Any) -> requests.Response:  # type: ignore[override]  # noqa: ANN401, ARG002
        """Keep what would be sent."""
        self.url, self.form = url, dict(params)
        return _Unasked()


class _Unasked(requests.Response):
    """The answer to a question that is not sent yet."""

    def __init__(self) -> None:
        super().__init__()
        self.status_code = 200

    def json(self, **_: Any) -> Any:  # noqa: ANN401 - as in requests
        return {"data": {"result": None}}


_Stamp: TypeAlias = Floats | SourceUnavailable | None
"""The time stamps of a selector's newest sample (n,), or why they could not be asked; None: the server cannot tell."""


@dataclass(frozen=True, slots=True)
class _Stamped:
    """The time stamps of each selector, the values of queries (n,), and when the server answered by its own clock."""

    newest: Mapping[str, _Stamp]
    values: Mapping[str, Floats] = field(default_factory=dict)
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Stamps:
    """A question for the newest sample of each selector, of which several are marked by their place, and for the value
    of queries, of which more than one series tells nothing."""

    selectors: Sequence[str]
    queries: Sequence[str]

    @property
    def text(self) -> str:
        stamps = [f"max(timestamp({selector}))" for selector in self.selectors]
        if len(stamps) > 1:
            stamps = [_marked(each, _PLACE, place) for place, each in enumerate(stamps)]
        values = [_marked(f"topk(2, {query}\n)", _VALUE, place) for place, query in enumerate(self.queries)]
        return " or ".join([*stamps, *values])

    def read(self, series: Sequence[Series], points: Floats, at: datetime | None) -> _Stamped:
        newest, alone = dict[str, _Stamp](), len(self.selectors) == 1
        stamps = [each for each in series if _VALUE not in each.labels]
        for place, selector in enumerate(self.selectors):
            own = (each.values for each in stamps if alone or each.labels.get(_PLACE) == str(place))
            newest[selector] = reduce(np.fmax, own, np.full(len(points), np.nan))
        values = {}
        for place, query in enumerate(self.queries):
            found = [each.values for each in series if each.labels.get(_VALUE) == str(place)]
            if len(found) == 1:
                values[query] = found[0]
        return _Stamped(newest, values, at)


def _marked(query: str, label: str, place: int) -> str:
    return f'label_replace({query}, "{label}", "{place}", "", "")'


def _freshness(
    stamps: Sequence[_Stamp], points: Floats, answered_at: datetime | None, values: Floats | None
) -> FreshnessAnswer:
    """That of a query with these selectors; None where it cannot be known of each of them."""
    if any(each is None for each in stamps):
        return None
    untold = [each for each in stamps if isinstance(each, SourceUnavailable)]
    if untold:
        return untold[0]
    known = [each for each in stamps if isinstance(each, np.ndarray)]
    newest = reduce(np.fmax, known, np.full(len(points), np.nan))
    behind = points - newest
    if (behind < -1.0).any() or (behind > _LONGEST_LOOKBACK).any():
        newest = np.full(len(points), np.nan)  # these are no time stamps: the server does not know the function
        values = None
    return None if answered_at is None and np.isnan(newest).all() else Freshness(points, newest, answered_at, values)


def _is_overloaded(answer: Answer) -> bool:
    """Whether another try at once may help; what the API itself says of a query, such as a timeout, stays so."""
    return answer.busy and not _prometheus_json.speaks_the_api(answer.body)


def _body(answer: Answer) -> bytes:
    if 300 <= answer.status < 400:
        raise SourceUnavailable("redirect", f"it redirects ({answer.status}), which is not followed")
    if answer.status != HTTPStatus.OK:
        raise _prometheus_json.failure(answer.status, answer.body)
    return answer.body


def _series(answers: Sequence[bytes], points: Floats, step: float) -> list[Series]:
    return _prometheus_json.to_series(
        _prometheus_json.joined([_prometheus_json.read(each) for each in answers]), points, step
    )


PLUGIN = Prometheus

"""`--web.config.file`, in the format of Prometheus' own exporters: TLS, headers, users, a rate."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Annotated, ClassVar, Literal

import structlog
from pydantic import AfterValidator

from afdp_exporter.errors import ConfigError
from afdp_exporter.handlers.rates import RateLimit, TokenBucket
from afdp_exporter.handlers.tls import TLS
from afdp_exporter.settings import STRICT, parse, read_yaml

log = structlog.get_logger(__name__)

_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_COSTS = range(4, 15)  # one more doubles the time of a check; at 14 it is a second


def _hashed(text: str) -> str:
    found = _BCRYPT.fullmatch(text)
    if found is None:
        raise ValueError("a bcrypt hash is expected, as `htpasswd -nBC 10 USER` prints it")
    if int(found[1]) not in _COSTS:
        raise ValueError(f"a cost from {_COSTS[0]} to {_COSTS[-1]} is expected: more would take seconds a login")
    return text


def _line(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError("one line of ASCII is expected")
    return text


_Header = Literal[
    "Content-Security-Policy",
    "X-Frame-Options",
    "X-Content-Type-Options",
    "X-XSS-Protection",
    "Strict-Transport-Security",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPServer:
    """The block `http_server_config`. `http2` is what a client may ask for; every answer is HTTP/1.1."""

    __pydantic_config__: ClassVar = STRICT

    http2: bool = True
    headers: Mapping[_Header, Annotated[str, AfterValidator(_line)]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """The whole file."""

    __pydantic_config__: ClassVar = STRICT

    tls_server_config: TLS | None = None
    http_server_config: HTTPServer = HTTPServer()
    basic_auth_users: Mapping[str, Annotated[str, AfterValidator(_hashed)]] = field(default_factory=dict, repr=False)
    rate_limit: RateLimit | None = None


def load(path: Path) -> WebConfig:
    """Read a web configuration file. Raises ConfigError, also for what is in the format and not supported here."""
    found = parse(WebConfig, read_yaml(path) or {}, str(path))
    tls = found.tls_server_config
    if tls is None:
        return found
    ca = path.parent / tls.client_ca_file if tls.client_ca_file else None
    beside = replace(tls, cert_file=path.parent / tls.cert_file, key_file=path.parent / tls.key_file, client_ca_file=ca)
    return replace(found, tls_server_config=beside)


class ReloadingWebConfig:
    """The web configuration as it is now: a file that changes is read again, a bad one changes nothing.

    Without a file there are no users, no headers and no limit. TLS itself is set up once; its certificates are renewed
    by `tls.serving`.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._stamp = self._stamped()
        self._config = load(path) if path is not None else WebConfig()
        self._bucket = self._limited()

    @property
    def known(self) -> WebConfig:
        """What held when it was last looked at."""
        return self._config

    async def fresh(self) -> WebConfig:
        """What holds for this request; a volume that is slow holds up no other one."""
        return self._config if self._path is None else await asyncio.to_thread(self.now)

    def now(self) -> WebConfig:
        """What holds now, read from the disk."""
        stamp = self._stamped()
        if self._path is not None and stamp is not None and stamp != self._stamp:
            self._stamp = stamp
            try:
                self._config = load(self._path)
            except ConfigError as error:
                log.error("web configuration not read again", error=str(error))
            else:
                self._bucket = self._limited()
                log.info("web configuration read again")
        return self._config

    def take(self) -> bool:
        """Whether one more request is within the rate."""
        return self._bucket is None or self._bucket.take()

    def _limited(self) -> TokenBucket | None:
        limit = self._config.rate_limit
        return TokenBucket(limit, monotonic) if limit is not None else None

    def _stamped(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat() if self._path is not None else None
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_ino) if found is not None else None

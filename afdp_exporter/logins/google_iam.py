"""Google Cloud, as the block `google_iam` of Prometheus' `remote_write`."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from pydantic import FilePath

from afdp_exporter.logins import Token, Tokens, bare, bearer
from afdp_exporter.settings import STRICT, optional

_LOOKED_AT = 40.0  # seconds, of which half pass before the library, which knows when a token ends, is asked again


@dataclass(frozen=True, kw_only=True)
class GoogleIAM:
    """A token for reading of Google Cloud Monitoring; without a file as Google's own tools find it."""

    __pydantic_config__: ClassVar = STRICT
    scope: ClassVar[str] = "https://www.googleapis.com/auth/monitoring.read"

    credentials_file: FilePath | None = None
    _tokens: Tokens = field(default_factory=Tokens, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        optional("google_iam", "afdp_exporter.logins._google", extra="google")

    async def headers(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> dict[str, str]:  # noqa: ARG002 - as Login
        """As `Login.headers`."""
        return bearer(await self._tokens.current(self._fetch))

    def renews(self, shown: Mapping[str, str]) -> bool:
        """As `Login.renews`."""
        if self._tokens.drop(bare(shown)):
            self._finder.forget()
        return True

    async def _fetch(self) -> Token:
        return Token(await asyncio.to_thread(self._finder.token), _LOOKED_AT)

    @cached_property
    def _finder(self) -> Any:  # noqa: ANN401 - of a module that is loaded only where it is needed
        return optional("google_iam", "afdp_exporter.logins._google", extra="google").Finder(
            self.credentials_file, self.scope
        )

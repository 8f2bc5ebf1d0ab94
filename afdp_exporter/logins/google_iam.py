"""Google Cloud, as the block `google_iam` of Prometheus' `remote_write`."""

import asyncio
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from pydantic import FilePath

from afdp_exporter.logins import BearerLogin, Token
from afdp_exporter.settings import optional

_LOOKED_AT = 40.0  # seconds, of which half pass before the library, which knows when a token ends, is asked again


@dataclass(frozen=True, kw_only=True)
class GoogleIAM(BearerLogin):
    """A token for reading of Google Cloud Monitoring; without a file as Google's own tools find it."""

    scope: ClassVar[str] = "https://www.googleapis.com/auth/monitoring.read"

    credentials_file: FilePath | None = None

    def __post_init__(self) -> None:
        optional("google_iam", "afdp_exporter.logins._google", extra="google")

    def _dropped(self) -> None:
        self._finder.forget()

    async def _fetch(self) -> Token:
        return Token(await asyncio.to_thread(self._finder.token), _LOOKED_AT)

    @cached_property
    def _finder(self) -> Any:  # noqa: ANN401 - of a module that is loaded only where it is needed
        return optional("google_iam", "afdp_exporter.logins._google", extra="google").Finder(
            self.credentials_file, self.scope
        )

"""OAuth 2.0 with client credentials, as the block `oauth2` of Prometheus' `http_config`."""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from pydantic import FilePath, SecretStr

from afdp_exporter.errors import CallFailed
from afdp_exporter.http_config import Address, TLSConfig, read_text
from afdp_exporter.logins import BearerLogin, Token, asked_for_token

_OWN = {"grant_type", "scope", "client_id", "client_secret"}
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


@dataclass(frozen=True, kw_only=True)
class OAuth2(BearerLogin):
    """A token from `token_url`; `endpoint_params` are sent with the question for it."""

    client_id: str
    client_secret: SecretStr | None = None
    client_secret_file: FilePath | None = None
    token_url: Address
    scopes: tuple[str, ...] = ()
    endpoint_params: Mapping[str, str] = field(default_factory=dict)
    tls_config: TLSConfig = TLSConfig()

    def __post_init__(self) -> None:
        if (self.client_secret is None) is (self.client_secret_file is None):
            raise ValueError("exactly one of client_secret and client_secret_file is needed")
        for taken in sorted(_OWN & set(self.endpoint_params)):
            raise ValueError(f"endpoint_params cannot hold {taken}")

    async def _fetch(self) -> Token:
        """As the standard wants it: id and secret in a header; servers that do not read it find them in the form."""
        secret = await asyncio.to_thread(read_text, self.client_secret, self.client_secret_file)
        form = {"grant_type": "client_credentials", **self.endpoint_params}
        if self.scopes:
            form["scope"] = " ".join(self.scopes)
        pair = f"{quote(self.client_id, safe='')}:{quote(secret, safe='')}"
        header = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        try:
            return await self._asked(form, header)
        except CallFailed as error:
            if error.again:
                raise
        return await self._asked(form | {"client_id": self.client_id, "client_secret": secret}, {})

    async def _asked(self, form: Mapping[str, str], more: Mapping[str, str]) -> Token:
        sent, data = {**_FORM, **more}, urlencode(form).encode()
        return await asked_for_token("oauth2", "POST", self.token_url, headers=sent, data=data, tls=self.tls_config)

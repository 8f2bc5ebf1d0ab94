"""Keys of AWS as its own tools find and renew them, and what is signed with them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, Credentials, DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from afdp_exporter.errors import CallFailed

_SIGNED = "content-type"  # of the other headers: what a proxy may change is not signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who we are to AWS: by keys, by a profile, or as AWS' own tools find it; then perhaps in another role."""

    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    profile: str | None = None
    role_arn: str | None = None
    external_id: str | None = None
    fips: bool = False


class Signer:
    """Signs questions; keys are looked up once for all who ask, and renewed by the library when it is time."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._looking = Lock()
        self._known: tuple[Any, str] | None = None

    async def sign(
        self, service: str, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> dict[str, str]:
        """The headers that sign a question. Raises CallFailed (`login`) without a word of what is configured."""
        own = {name: value for name, value in headers.items() if name.lower() == _SIGNED}
        request = AWSRequest(method=method, url=url, data=body or b"", headers=own)
        try:
            await asyncio.to_thread(self._sign, service, request)
        except (BotoCoreError, ClientError) as error:
            code = error.response["Error"].get("Code") if isinstance(error, ClientError) else type(error).__name__
            raise CallFailed("login", f"sigv4: no keys: {code}") from None
        return {name: value for name, value in request.headers.items() if name.lower() != _SIGNED}

    def _sign(self, service: str, request: AWSRequest) -> None:
        with self._looking:
            if self._known is None:
                self._known = self._look()
        credentials, region = self._known
        SigV4Auth(credentials.get_frozen_credentials(), service, region).add_auth(request)

    def _look(self) -> tuple[Any, str]:
        """Where the keys are renewed, and the region."""
        identity, session = self._identity, Session(profile=self._identity.profile)
        region = identity.region or session.get_config_variable("region")
        if not region:
            raise CallFailed("login", "sigv4: no region: neither here nor where AWS' own tools look")
        given = identity.access_key is not None
        credentials = Credentials(identity.access_key, identity.secret_key) if given else session.get_credentials()
        if credentials is None:
            raise CallFailed("login", "sigv4: no keys: neither here nor where AWS' own tools look")
        if identity.role_arn is None:
            return credentials, region
        config = Config(use_fips_endpoint=identity.fips, connect_timeout=5, read_timeout=10)
        client = partial(session.create_client, region_name=region, config=config)
        more = {"ExternalId": identity.external_id} if identity.external_id else {}
        fetcher = AssumeRoleCredentialFetcher(client, credentials, identity.role_arn, extra_args=more)
        return DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role"), region

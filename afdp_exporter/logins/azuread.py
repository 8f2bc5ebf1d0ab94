"""Microsoft Entra ID, as the block `azuread` of Prometheus' `remote_write`."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlencode

from pydantic import FilePath, SecretStr, StringConstraints

from afdp_exporter.errors import CallFailed
from afdp_exporter.http_config import read_text
from afdp_exporter.logins import BearerLogin, Token, asked_for_token
from afdp_exporter.settings import STRICT

_AUTHORITIES = {
    "AzurePublic": "https://login.microsoftonline.com",
    "AzureChina": "https://login.chinacloudapi.cn",
    "AzureGovernment": "https://login.microsoftonline.us",
}
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TOKEN_FILE = Path("/var/run/secrets/azure/tokens/azure-identity-token")
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}

Id = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z.-]*$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedIdentity:
    """That of the machine; `client_id` where it has more than one."""

    __pydantic_config__: ClassVar = STRICT

    client_id: Id | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSecret:
    """An application with a secret."""

    __pydantic_config__: ClassVar = STRICT

    client_id: Id
    tenant_id: Id
    client_secret: SecretStr | None = None
    client_secret_file: FilePath | None = None

    def __post_init__(self) -> None:
        if (self.client_secret is None) is (self.client_secret_file is None):
            raise ValueError("exactly one of client_secret and client_secret_file is needed")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadIdentity:
    """The identity of a pod: a token of Kubernetes, in a file that is read anew, is changed for one of Azure."""

    __pydantic_config__: ClassVar = STRICT

    client_id: Id
    tenant_id: Id
    token_file_path: Path = _TOKEN_FILE


@dataclass(frozen=True, kw_only=True)
class AzureAD(BearerLogin):
    """Exactly one way to a token; `scope` is for what, where it is not what is asked."""

    cloud: Literal["AzurePublic", "AzureChina", "AzureGovernment"] = "AzurePublic"
    managed_identity: ManagedIdentity | None = None
    oauth: ClientSecret | None = None
    workload_identity: WorkloadIdentity | None = None
    scope: str | None = None

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.managed_identity, self.oauth, self.workload_identity)) != 1:
            raise ValueError("exactly one of managed_identity, oauth and workload_identity is needed")

    def reading(self, scope: str) -> "AzureAD":
        """The same for this scope, unless another one is configured."""
        return self if self.scope is not None else replace(self, scope=scope)

    async def _fetch(self) -> Token:
        if self.oauth is not None:
            secret = await asyncio.to_thread(read_text, self.oauth.client_secret, self.oauth.client_secret_file)
            return await self._granted(self.oauth.tenant_id, self.oauth.client_id, {"client_secret": secret})
        if (pod := self.workload_identity) is not None:
            assertion = await asyncio.to_thread(read_text, None, pod.token_file_path)
            proof = {"client_assertion_type": _ASSERTION, "client_assertion": assertion}
            return await self._granted(pod.tenant_id, pod.client_id, proof)
        return await self._of_the_machine((self.managed_identity or ManagedIdentity()).client_id)

    async def _granted(self, tenant: str, client: str, proof: Mapping[str, str]) -> Token:
        authority = os.environ.get("AZURE_AUTHORITY_HOST", _AUTHORITIES[self.cloud]).rstrip("/")
        form = {"grant_type": "client_credentials", "client_id": client, "scope": self.scope or "", **proof}
        url, data = f"{authority}/{tenant}/oauth2/v2.0/token", urlencode(form).encode()
        return await asked_for_token("azuread", "POST", url, headers=_FORM, data=data)

    async def _of_the_machine(self, client: str | None) -> Token:
        """From App Service and Container Apps where they say where, else from the virtual machine's own service."""
        resource = (self.scope or "").removesuffix("/.default")
        params: tuple[tuple[str, str], ...] = (("resource", resource), *([("client_id", client)] if client else []))
        endpoint, proof = os.environ.get("IDENTITY_ENDPOINT"), os.environ.get("IDENTITY_HEADER")
        if endpoint and proof:
            params, headers = (("api-version", "2019-08-01"), *params), {"X-IDENTITY-HEADER": proof}
        else:
            host = os.environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://169.254.169.254").rstrip("/")
            endpoint = f"{host}/metadata/identity/oauth2/token"
            params, headers = (("api-version", "2018-02-01"), *params), {"Metadata": "true"}
        try:
            return await asked_for_token("azuread", "GET", endpoint, headers=headers, params=params, of_machine=True)
        except CallFailed as error:
            raise CallFailed(
                error.reason, f"{error}; has this machine a managed identity?", again=error.again
            ) from None

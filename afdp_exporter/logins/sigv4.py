"""Signature Version 4 of AWS, as the block `sigv4` of Prometheus' `remote_write`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from pydantic import SecretStr

from afdp_exporter.settings import STRICT, optional


@dataclass(frozen=True, kw_only=True)
class SigV4:
    """Each question is signed; without keys they are found as AWS' own tools find them."""

    __pydantic_config__: ClassVar = STRICT

    region: str | None = None
    access_key: str | None = None
    secret_key: SecretStr | None = None
    profile: str | None = None
    role_arn: str | None = None
    external_id: str | None = None
    use_fips_sts_endpoint: bool = False
    service_name: str = "aps"

    def __post_init__(self) -> None:
        if (self.access_key is None) is not (self.secret_key is None):
            raise ValueError("access_key and secret_key belong together")
        if self.access_key is not None and self.profile is not None:
            raise ValueError("at most one of access_key and profile can stand")
        optional("sigv4", "afdp_exporter.logins._aws", extra="aws")

    async def headers(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> dict[str, str]:
        """As `Login.headers`."""
        signed: dict[str, str] = await self._signer.sign(self.service_name, method, url, headers, body)
        return signed

    def renews(self, shown: Mapping[str, str]) -> bool:  # noqa: ARG002 - as Login
        """As `Login.renews`: keys are renewed by the time that they name."""
        return False

    @cached_property
    def _signer(self) -> Any:  # noqa: ANN401 - of a module that is loaded only where it is needed
        aws = optional("sigv4", "afdp_exporter.logins._aws", extra="aws")
        return aws.Signer(
            aws.Identity(
                region=self.region,
                access_key=self.access_key,
                secret_key=self.secret_key and self.secret_key.get_secret_value(),
                profile=self.profile,
                role_arn=self.role_arn,
                external_id=self.external_id,
                fips=self.use_fips_sts_endpoint,
            ),
        )

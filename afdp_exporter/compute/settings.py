"""Which engine does pure work, as the configuration says it: each is a block of its own kind."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, ClassVar, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import Discriminator, Field, FilePath

from afdp_exporter.settings import STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """Processes of this machine."""

    __pydantic_config__: ClassVar = STRICT

    kind: Literal["processes"] = "processes"

    @property
    def batch(self) -> int:
        """How many calls go to a worker together."""
        return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Whom to trust, and what to show: every member of a Dask cluster has a certificate of one authority."""

    __pydantic_config__: ClassVar = STRICT

    ca_file: FilePath
    cert_file: FilePath
    key_file: FilePath


@dataclass(frozen=True, slots=True, kw_only=True)
class Dask:
    """The workers of a Dask cluster, by its scheduler's address.

    Whoever reaches the scheduler runs code on the workers, and the workers' answers are unpickled here: without TLS it
    is for this machine, or for a network of which somebody says that it is private.
    """

    __pydantic_config__: ClassVar = STRICT

    kind: Literal["dask"]
    address: str
    batch: Annotated[int, Field(ge=1, le=200)] = 4
    tls_config: Certificates | None = None
    private_network: bool = False

    def __post_init__(self) -> None:
        parts = urlsplit(self.address)
        if parts.scheme not in {"tcp", "tls"} or not parts.hostname or not parts.port or parts.path.strip("/"):
            raise ValueError("address: such as tls://scheduler:8786 is expected")
        if (parts.scheme == "tls") is (self.tls_config is None):
            raise ValueError("tls_config is needed for an address with tls://, and for no other")
        if parts.scheme == "tcp" and not (self.private_network or _is_here(parts.hostname)):
            raise ValueError(
                "whoever reaches a scheduler without TLS can run code: use tls://, or say private_network: true"
            )


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


Engine: TypeAlias = Annotated[Processes | Dask, Discriminator("kind")]

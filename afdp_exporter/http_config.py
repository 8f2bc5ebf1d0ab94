"""The address of a server, and the blocks of Prometheus' own `http_config`: who we are to it, whom we take it for."""

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from threading import Lock
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from cachetools import LRUCache
from pydantic import AfterValidator, FilePath, SecretStr

from afdp_exporter.errors import SecretUnreadable
from afdp_exporter.settings import STRICT, read_secret


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("an address such as https://prometheus.example.org is expected")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("an address holds no user, token or parameters: they have keys of their own")
    return url.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]
"""Where an API begins, without its last slash."""


_METADATA = frozenset(map(ip_address, ("100.100.100.200", "168.63.129.16", "fd00:ec2::254")))
_NAT64 = ip_network("64:ff9b::/96")


def is_link_local(host: str) -> bool:
    """Whether an address is of this link alone, where clouds hand out their machines' credentials; a name is not."""
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or (IPv4Address(int(found) & 0xFFFFFFFF) if found in _NAT64 else found)
    return found.is_link_local or found in _METADATA


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicAuth:
    """User and password, each given here or in a file."""

    __pydantic_config__: ClassVar = STRICT

    username: str | None = None
    username_file: FilePath | None = None
    password: SecretStr | None = None
    password_file: FilePath | None = None

    def __post_init__(self) -> None:
        if (self.username is None) is (self.username_file is None):
            raise ValueError("exactly one of username and username_file is needed")
        if self.password is not None and self.password_file is not None:
            raise ValueError("at most one of password and password_file can stand")

    def header(self) -> str:
        """The value of the header `Authorization`, its files read anew."""
        user = self.username if self.username_file is None else read_text(None, self.username_file)
        pair = f"{user}:{read_text(self.password, self.password_file)}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """A token, given here or in a file."""

    __pydantic_config__: ClassVar = STRICT

    type: str = "Bearer"
    credentials: SecretStr | None = None
    credentials_file: FilePath | None = None

    def __post_init__(self) -> None:
        if self.type.strip().lower() == "basic":
            raise ValueError("for Basic there is the block basic_auth")
        if (self.credentials is None) is (self.credentials_file is None):
            raise ValueError("exactly one of credentials and credentials_file is needed")

    def header(self) -> str:
        """The value of the header `Authorization`, its file read anew."""
        return f"{self.type.strip()} {read_text(self.credentials, self.credentials_file)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The values of one more header, such as the tenant's; `secrets` and `files` add to `values`."""

    __pydantic_config__: ClassVar = STRICT

    values: tuple[SecretStr, ...] = ()
    secrets: tuple[SecretStr, ...] = ()
    files: tuple[FilePath, ...] = ()

    def value(self) -> str:
        """All values, its files read anew."""
        given = [each.get_secret_value() for each in (*self.values, *self.secrets)]
        return ", ".join([*given, *(read_text(None, file) for file in self.files)])


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSConfig:
    """Whom to trust, and the certificate to show. Without `ca_file` the well-known authorities are trusted."""

    __pydantic_config__: ClassVar = STRICT

    ca_file: FilePath | None = None
    cert_file: FilePath | None = None
    key_file: FilePath | None = None
    server_name: str | None = None
    insecure_skip_verify: bool = False

    def __post_init__(self) -> None:
        if (self.cert_file is None) is not (self.key_file is None):
            raise ValueError("cert_file and key_file belong together")

    def context(self) -> ssl.SSLContext:
        """As asyncio takes it; the same one until a file has changed. Raises SecretUnreadable where one does not fit.

        To read the well-known authorities takes 40 ms and a megabyte.
        """
        try:
            known = self, *map(_state_of, (*_authorities(self.ca_file), self.cert_file, self.key_file))
            with _reading:
                if known not in _contexts:
                    _contexts[known] = self._read()
                return _contexts[known]
        except OSError as error:  # ssl.SSLError is one
            raise SecretUnreadable(f"tls_config cannot be used: {error.strerror or type(error).__name__}") from None

    def _read(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.cert_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file, password=lambda: "")
        if self.insecure_skip_verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    @property
    def verify(self) -> bool | str:
        """As requests takes it."""
        if self.insecure_skip_verify:
            return False
        return str(self.ca_file) if self.ca_file is not None else True

    @property
    def certificate(self) -> tuple[str, str] | None:
        """As requests takes it: the files of certificate and key."""
        return (str(self.cert_file), str(self.key_file)) if self.cert_file and self.key_file else None


_contexts: LRUCache[tuple[object, ...], ssl.SSLContext] = LRUCache(maxsize=64)
_reading = Lock()


def _authorities(file: Path | None) -> tuple[Path | None, ...]:
    """The file or folder of those who are trusted."""
    if file is not None:
        return (file,)
    found = ssl.get_default_verify_paths()
    return tuple(Path(each) if each else None for each in (found.cafile, found.capath))


def _state_of(file: Path | None) -> tuple[int, ...] | None:
    """What differs once a file was written or put in the place of another. Raises OSError where there is none."""
    if file is None:
        return None
    state = file.stat()
    return state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size


def headers(authorization: BasicAuth | Authorization | None, more: Mapping[str, Header]) -> dict[str, str]:
    """The headers of the next request. Raises SecretUnreadable when a file of one cannot be read."""
    found = {name: header.value() for name, header in more.items()}
    if authorization is not None:
        found["Authorization"] = authorization.header()
    return found


def read_text(value: SecretStr | None, file: Path | None) -> str:
    """A secret, its file read anew. Raises SecretUnreadable."""
    try:
        return read_secret(value, file) or ""
    except OSError as error:
        raise SecretUnreadable(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretUnreadable(f"{file} cannot be read: it is no text") from None

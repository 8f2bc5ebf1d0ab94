"""The address of a server, and the blocks of Prometheus' own `http_config`: who we are to it, whom we take it for."""

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

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
        user = self.username if self.username_file is None else _read(None, self.username_file)
        pair = f"{user}:{_read(self.password, self.password_file)}"
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
        return f"{self.type.strip()} {_read(self.credentials, self.credentials_file)}"


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
        return ", ".join([*given, *(_read(None, file) for file in self.files)])


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
        """As asyncio takes it. Raises SecretUnreadable where a file does not fit."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file, password=lambda: "")
        except OSError as error:  # ssl.SSLError is one
            raise SecretUnreadable(f"tls_config cannot be used: {error.strerror or type(error).__name__}") from None
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


def headers(authorization: BasicAuth | Authorization | None, more: Mapping[str, Header]) -> dict[str, str]:
    """The headers of the next request. Raises SecretUnreadable when a file of one cannot be read."""
    found = {name: header.value() for name, header in more.items()}
    if authorization is not None:
        found["Authorization"] = authorization.header()
    return found


def _read(value: SecretStr | None, file: Path | None) -> str:
    try:
        return read_secret(value, file) or ""
    except OSError as error:
        raise SecretUnreadable(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretUnreadable(f"{file} cannot be read: it is no text") from None

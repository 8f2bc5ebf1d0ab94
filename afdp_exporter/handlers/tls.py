"""TLS as `--web.config.file` describes it, in the format of Prometheus' own exporters."""

import ssl
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from afdp_exporter.errors import ConfigError
from afdp_exporter.settings import STRICT, parse, read_yaml

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_VERIFY = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """The block `tls_server_config`. Paths are relative to the file."""

    __pydantic_config__: ClassVar = STRICT

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    client_auth_type: Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"] = "NoClientCert"
    min_version: Literal["TLS12", "TLS13"] = "TLS12"

    def __post_init__(self) -> None:
        if (self.client_auth_type == "NoClientCert") is not (self.client_ca_file is None):
            raise ValueError("client_ca_file and a client_auth_type other than NoClientCert need each other")


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    __pydantic_config__: ClassVar = STRICT

    tls_server_config: TLS | None = None


def load(path: Path) -> TLS | None:
    """Read a web configuration file. Raises ConfigError, also for what is in the format and not supported here."""
    tls = parse(_File, read_yaml(path) or {}, str(path)).tls_server_config
    if tls is None:
        return None
    ca = path.parent / tls.client_ca_file if tls.client_ca_file else None
    return replace(tls, cert_file=path.parent / tls.cert_file, key_file=path.parent / tls.key_file, client_ca_file=ca)


def serving(tls: TLS) -> ssl.SSLContext:
    """A context for a listening socket; certificates that change on disk are used from the next connection on.

    Raises ConfigError where a file is missing or does not fit.
    """
    outer = context = _context(tls)
    known = _stamp(tls)

    def renew(connection: ssl.SSLObject, _name: str | None, _outer: ssl.SSLContext) -> None:
        nonlocal context, known
        with suppress(ConfigError):  # half-written: the certificate from before serves on
            stamp = _stamp(tls)
            if stamp != known:
                context, known = _context(tls), stamp
        connection.context = context

    outer.sni_callback = renew
    return outer


def _context(tls: TLS) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.min_version]
    context.verify_mode = _VERIFY[tls.client_auth_type]
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file, password=lambda: "")  # never ask on the terminal
        if tls.client_ca_file is not None:
            context.load_verify_locations(tls.client_ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError("tls_server_config", f"{tls.cert_file} cannot be used: {error}") from None
    return context


def _stamp(tls: TLS) -> tuple[int, ...]:
    files = (tls.cert_file, tls.key_file, tls.client_ca_file)
    try:
        return tuple(file.stat().st_mtime_ns for file in files if file is not None)
    except OSError as error:
        raise ConfigError("tls_server_config", str(error)) from None

"""TLS as the block `tls_server_config` of the web configuration describes it."""

import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from afdp_exporter.errors import ConfigError
from afdp_exporter.settings import STRICT

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_VERIFY = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_CIPHERS = {
    "AES_128_CBC_SHA": "AES128-SHA",
    "AES_256_CBC_SHA": "AES256-SHA",
    "AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
}
_SUITES = {  # Go's names of the suites up to TLS 1.2 that it holds safe -> OpenSSL's
    f"TLS_ECDHE_{key}_WITH_{cipher}": f"ECDHE-{key}-{name}"
    for key in ("ECDSA", "RSA")
    for cipher, name in _CIPHERS.items()
}
_ALWAYS = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}  # of TLS 1.3


@dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """The block `tls_server_config`. Paths are relative to the file; cipher suites are named as in Go."""

    __pydantic_config__: ClassVar = STRICT

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    client_auth_type: Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"] = "NoClientCert"
    client_allowed_sans: tuple[str, ...] = ()
    min_version: Literal["TLS12", "TLS13"] = "TLS12"
    max_version: Literal["TLS12", "TLS13"] = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True

    def __post_init__(self) -> None:
        if (self.client_auth_type == "NoClientCert") is not (self.client_ca_file is None):
            raise ValueError("client_ca_file and a client_auth_type other than NoClientCert need each other")
        if self.client_allowed_sans and self.client_auth_type != "RequireAndVerifyClientCert":
            raise ValueError("client_allowed_sans needs the client_auth_type RequireAndVerifyClientCert")
        for name in self.cipher_suites:
            if name not in _SUITES and name not in _ALWAYS:
                raise ValueError(f"the cipher suite {name} is unknown; known: {', '.join(_SUITES)}")
        if self.min_version > self.max_version:
            raise ValueError("min_version lies above max_version")

    def allows(self, certificate: Mapping[str, Any] | None) -> bool:
        """Whether a verified client certificate, as `ssl` shows it, bears one of the allowed names."""
        if not self.client_allowed_sans:
            return True
        names: Iterable[tuple[str, str]] = (certificate or {}).get("subjectAltName", ())
        return any(name in self.client_allowed_sans for _, name in names)


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
    context.minimum_version, context.maximum_version = _VERSIONS[tls.min_version], _VERSIONS[tls.max_version]
    if not tls.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.verify_mode = _VERIFY[tls.client_auth_type]
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file, password=lambda: "")  # never ask on the terminal
        if suites := [_SUITES[name] for name in tls.cipher_suites if name in _SUITES]:
            context.set_ciphers(":".join(suites))
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

"""TLS as the file says it, over real handshakes."""

import ssl
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from aiohttp import ClientConnectionError, ClientSession

from afdp_exporter.errors import ConfigError
from afdp_exporter.handlers import tls


def certify(authority: trustme.CA, folder: Path) -> None:
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(folder / "tls.key"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "tls.crt"))


def trusting(trusted: trustme.CA, known: trustme.CA | None, *, old: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context()
    trusted.configure_trust(context)
    if known is not None:
        known.issue_cert("client@example.org").configure_cert(context)
    if old:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # which is what is tried here
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def load(folder: Path, content: object) -> tls.TLS | None:
    (folder / "web.yml").write_text(yaml.safe_dump(content))
    return tls.load(folder / "web.yml")


async def healthy(client: ClientSession, context: ssl.SSLContext) -> bool:
    try:
        async with ClientSession(client._base_url, headers={"Connection": "close"}) as fresh:
            return (await fresh.get("/-/healthy", ssl=context)).status == 200
    except (ClientConnectionError, OSError):
        return False


async def test_who_may_connect_is_as_the_file_says_and_a_new_certificate_is_used_at_once(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    authority, later = trustme.CA(), trustme.CA()
    certify(authority, tmp_path)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    block = {"cert_file": "tls.crt", "key_file": "tls.key", "client_ca_file": "ca.pem"}
    loaded = load(tmp_path, {"tls_server_config": block | {"client_auth_type": "RequireAndVerifyClientCert"}})
    assert loaded is not None
    client = await start(context=tls.serving(loaded))

    assert await healthy(client, trusting(authority, authority))
    assert not await healthy(client, trusting(authority, None))
    assert not await healthy(client, trusting(authority, later))
    assert not await healthy(client, trusting(authority, authority, old=True))
    assert not await healthy(client, trusting(later, authority))

    certify(later, tmp_path)
    assert await healthy(client, trusting(later, authority))
    (tmp_path / "tls.crt").write_text("half-written")
    assert await healthy(client, trusting(later, authority))


FILES = {"cert_file": "a", "key_file": "b"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"basic_auth_users": {"ada": "$2y$10$x"}}, "basic_auth_users: unknown key; known: tls_server_config"),
        ({"tls_server_config": {"cert_file": "tls.crt"}}, "key_file"),
        ({"tls_server_config": FILES | {"min_version": "TLS10"}}, "min_version"),
        ({"tls_server_config": FILES | {"client_auth_type": "RequestClientCert"}}, "client_auth_type"),
        ({"tls_server_config": FILES | {"client_ca_file": "c"}}, "need each other"),
        ({"tls_server_config": FILES | {"client_allowed_sans": ["x"]}}, "client_allowed_sans"),
        (["tls_server_config"], "web.yml"),
    ],
)
def test_what_is_not_supported_is_refused_by_its_name(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, content)
    assert said in str(raised.value)


def test_a_certificate_that_is_missing_or_does_not_fit_stops_the_start(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"tls_server_config": {"cert_file": "tls.crt", "key_file": "tls.key"}})
    assert loaded is not None
    with pytest.raises(ConfigError, match="cannot be used"):
        tls.serving(loaded)
    certify(trustme.CA(), tmp_path)
    tls.serving(loaded)
    (tmp_path / "tls.key").write_bytes(trustme.CA().private_key_pem.bytes())
    with pytest.raises(ConfigError, match="cannot be used"):
        tls.serving(loaded)


def test_an_empty_file_asks_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text("")
    assert tls.load(tmp_path / "web.yml") is None

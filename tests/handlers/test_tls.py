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
from afdp_exporter.handlers import tls, web_config
from afdp_exporter.handlers.web_config import ReloadingWebConfig


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
    return web_config.load(folder / "web.yml").tls_server_config


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
        ({"basic_auth_users": {"ada": "$2y$10$canary"}}, "basic_auth_users.ada: a bcrypt hash is expected"),
        ({"basic_auth": {"ada": "x"}}, "basic_auth: unknown key; known: tls_server_config"),
        ({"tls_server_config": {"cert_file": "tls.crt"}}, "key_file"),
        ({"tls_server_config": FILES | {"min_version": "TLS10"}}, "min_version"),
        ({"tls_server_config": FILES | {"client_auth_type": "RequestClientCert"}}, "client_auth_type"),
        ({"tls_server_config": FILES | {"client_ca_file": "c"}}, "need each other"),
        ({"tls_server_config": FILES | {"client_allowed_sans": ["x"]}}, "client_allowed_sans"),
        ({"tls_server_config": FILES | {"cipher_suites": ["TLS_RSA_WITH_RC4_128_SHA"]}}, "RC4_128_SHA is unknown"),
        ({"tls_server_config": FILES | {"min_version": "TLS13", "max_version": "TLS12"}}, "min_version lies above"),
        ({"tls_server_config": FILES | {"curve_preferences": ["X25519"]}}, "curve_preferences"),
        ({"http_server_config": {"headers": {"X-Mine": "a"}}}, "http_server_config.headers"),
        ({"http_server_config": {"headers": {"X-Frame-Options": "a\r\nb"}}}, "one line"),
        ({"rate_limit": {"interval": "1s", "burst": 0}}, "rate_limit.burst"),
        (["tls_server_config"], "web.yml"),
    ],
)
def test_what_is_not_supported_is_refused_by_its_name(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, content)
    assert said in str(raised.value)
    assert "canary" not in str(raised.value)


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
    assert web_config.load(tmp_path / "web.yml") == web_config.WebConfig()


async def test_a_certificate_without_an_allowed_name_opens_nothing(start: Callable[..., Any], tmp_path: Path) -> None:
    authority = trustme.CA()
    certify(authority, tmp_path)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    block = {"cert_file": "tls.crt", "key_file": "tls.key", "client_ca_file": "ca.pem"}
    block |= {"client_auth_type": "RequireAndVerifyClientCert", "client_allowed_sans": ["client@example.org"]}
    assert load(tmp_path, {"tls_server_config": block}) is not None
    web = ReloadingWebConfig(tmp_path / "web.yml")
    tls_config = web.now().tls_server_config
    assert tls_config is not None
    client = await start(context=tls.serving(tls_config), web_config=web)
    assert await healthy(client, trusting(authority, authority))
    (tmp_path / "web.yml").write_text(yaml.safe_dump({"tls_server_config": block | {"client_allowed_sans": ["other"]}}))
    assert not await healthy(client, trusting(authority, authority))


async def test_cipher_suites_are_those_of_the_file(start: Callable[..., Any], tmp_path: Path) -> None:
    authority = trustme.CA()
    certify(authority, tmp_path)
    files = {"cert_file": "tls.crt", "key_file": "tls.key", "max_version": "TLS12"}
    suites = ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"]
    loaded = load(tmp_path, {"tls_server_config": files | {"cipher_suites": suites}})
    assert loaded is not None
    client = await start(context=tls.serving(loaded))
    fits, unfit = trusting(authority, None), trusting(authority, None)
    fits.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    unfit.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    assert await healthy(client, fits)
    assert not await healthy(client, unfit)

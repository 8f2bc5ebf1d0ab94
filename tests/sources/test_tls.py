"""TLS to a metrics system: whom we trust, whom we show ourselves to, and that nothing is said to anybody else."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from afdp_exporter.errors import SourceUnavailable
from afdp_exporter.http_config import TLSConfig
from afdp_exporter.model import Series, Window
from afdp_exporter.settings import build
from afdp_exporter.sources import ask
from loopback import Serve, matrix

START = datetime.fromtimestamp(1_700_000_040, UTC)
UP = matrix({"metric": {}, "values": [[START.timestamp(), "1"]]})

pytestmark = pytest.mark.usefixtures("no_waits")


class Authority:
    """A certificate authority with its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(self.ca_file)

    def server(self, *names: str, clients: "Authority | None" = None) -> ssl.SSLContext:
        """What a server with these names needs; with `clients` it asks for a certificate of theirs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(context)
        if clients is not None:
            clients.ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self) -> dict[str, str]:
        """The settings with which a client shows a certificate."""
        issued = self.ca.issue_cert("afdp@example.org")
        issued.private_key_pem.write_to_path(self.folder / "me.key")
        issued.cert_chain_pems[0].write_to_path(self.folder / "me.pem")
        return {"cert_file": str(self.folder / "me.pem"), "key_file": str(self.folder / "me.key")}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"))


async def answer(_: web.Request) -> web.Response:
    return web.json_response(UP)


async def fetched(url: str, **tls: object) -> list[Series]:
    source = build("sources", "prometheus", {"url": url, "tls_config": tls}, "")
    series: list[Series] = await ask(source, "up", {}, Window(start=START, end=START), timedelta(seconds=60))
    return series


async def test_a_server_of_a_trusted_authority_is_believed(serve: Serve, authority: Authority) -> None:
    url = await serve(answer, authority.server("127.0.0.1"))
    assert len(await fetched(url, ca_file=str(authority.ca_file))) == 1


async def test_a_server_of_another_authority_is_sent_nothing(
    serve: Serve, authority: Authority, stranger: Authority
) -> None:
    asked = []

    async def canary(request: web.Request) -> web.Response:
        asked.append(request)
        return web.json_response(UP)

    url = await serve(canary, stranger.server("127.0.0.1"))
    for tls in ({"ca_file": str(authority.ca_file)}, {}):
        with pytest.raises(SourceUnavailable, match="no trusted connection") as away:
            await fetched(url, **tls)
        assert away.value.reason == "tls"
    assert not asked


async def test_a_server_has_to_bear_the_name_that_is_asked_for(serve: Serve, authority: Authority) -> None:
    url = await serve(answer, authority.server("prometheus.internal"))
    trusted = {"ca_file": str(authority.ca_file)}
    with pytest.raises(SourceUnavailable, match="mismatch"):
        await fetched(url, **trusted)
    with pytest.raises(SourceUnavailable, match="mismatch"):
        await fetched(url, **trusted, server_name="grafana.internal")
    assert len(await fetched(url, **trusted, server_name="prometheus.internal")) == 1


async def test_a_server_may_ask_for_our_certificate(serve: Serve, authority: Authority, stranger: Authority) -> None:
    url = await serve(answer, authority.server("127.0.0.1", clients=authority))
    trusted = {"ca_file": str(authority.ca_file)}
    assert len(await fetched(url, **trusted, **authority.client())) == 1
    for unknown in ({}, stranger.client()):
        with pytest.raises(SourceUnavailable):
            await fetched(url, **trusted, **unknown)


async def test_files_are_read_once_until_they_change_and_a_changed_one_counts_from_the_next_call(
    serve: Serve, authority: Authority, stranger: Authority
) -> None:
    url = await serve(answer, authority.server("127.0.0.1"))
    settings = TLSConfig(ca_file=authority.ca_file)
    first = settings.context()
    assert len(await fetched(url, ca_file=str(authority.ca_file))) == 1
    assert settings.context() is first
    stranger.ca.cert_pem.write_to_path(authority.folder / "next.pem")
    (authority.folder / "next.pem").replace(authority.ca_file)
    with pytest.raises(SourceUnavailable, match="no trusted connection"):
        await fetched(url, ca_file=str(authority.ca_file))
    assert settings.context() is not first


async def test_a_connection_that_rests_is_not_used_once_a_file_has_changed(
    serve: Serve, authority: Authority, stranger: Authority
) -> None:
    url = await serve(answer, authority.server("127.0.0.1"))
    source = build("sources", "prometheus", {"url": url, "tls_config": {"ca_file": str(authority.ca_file)}}, "")
    window = Window(start=START, end=START)
    assert len(await ask(source, "up", {}, window, timedelta(seconds=60))) == 1
    stranger.ca.cert_pem.write_to_path(authority.folder / "next.pem")
    (authority.folder / "next.pem").replace(authority.ca_file)
    with pytest.raises(SourceUnavailable, match="no trusted connection"):
        await ask(source, "up", {}, window, timedelta(seconds=60))


async def test_a_certificate_that_is_broken_is_an_error_of_its_own(serve: Serve, authority: Authority) -> None:
    url = await serve(answer, authority.server("127.0.0.1"))
    broken = authority.folder / "broken.pem"
    broken.write_text("no certificate")
    with pytest.raises(SourceUnavailable) as away:
        await fetched(url, ca_file=str(broken))
    assert away.value.reason == "tls"


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
async def test_verification_can_be_switched_off_by_its_insecure_name(serve: Serve, stranger: Authority) -> None:
    assert len(await fetched(await serve(answer, stranger.server("elsewhere")), insecure_skip_verify=True)) == 1


async def test_plain_http_from_a_tls_server_is_an_error(serve: Serve, authority: Authority) -> None:
    url = await serve(answer)
    with pytest.raises(SourceUnavailable) as away:
        await fetched(url.replace("http:", "https:"), ca_file=str(authority.ca_file))
    assert away.value.reason == "tls"

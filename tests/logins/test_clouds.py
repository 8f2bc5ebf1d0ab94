"""The logins of the three clouds, against what stands on the other side."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from botocore.credentials import Credentials
from google.auth import jwt
from moto.server import ThreadedMotoServer

from afdp_exporter.errors import SourceRefused, SourceUnavailable
from afdp_exporter.model import Series, Window
from afdp_exporter.settings import build
from afdp_exporter.sources import ask
from afdp_exporter.sources.prometheus import Prometheus
from issuing import ACCOUNT, Issuer, account_of_google
from loopback import Handler, Serve, matrix
from real_parts.fixtures import Start
from real_parts.servers import Prometheus as RealPrometheus
from signing import signed

START = 1_700_000_040
WINDOW = Window(start=datetime.fromtimestamp(START, UTC), end=datetime.fromtimestamp(START, UTC))
STEP = timedelta(seconds=60)
UP = matrix({"metric": {"__name__": "up"}, "values": [[START, "1"]]})
KEYS = {"region": "eu-west-1", "access_key": "AKIDEXAMPLE", "secret_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}


@pytest.fixture(autouse=True)
def nothing_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No keys of whoever runs the tests."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))


def source(url: str, **block: object) -> Prometheus:
    built: Prometheus = build("sources", "prometheus", {"url": url, **block}, "sources[0]")
    return built


async def fetched(prometheus: Prometheus, query: str = "up", window: Window = WINDOW) -> Series:
    (series,) = await ask(prometheus, query, {}, window, STEP)
    return series


# AWS


def aps(keys: Credentials, seen: list[bool]) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        seen.append(await signed(request, keys, "eu-west-1", "aps"))
        return web.json_response(UP) if seen[-1] else web.Response(status=403)

    return answer


@pytest.mark.parametrize("query", ["up", 'sum(up{a="é&=+ %/~"}) * 2'])
async def test_a_question_is_signed_over_what_arrives(serve: Serve, query: str) -> None:
    seen: list[bool] = []
    url = await serve(aps(Credentials(KEYS["access_key"], KEYS["secret_key"]), seen))
    prometheus = source(f"{url}/workspaces/ws-1", sigv4=KEYS, params={"x": "1 2"})
    await fetched(prometheus, query)
    assert seen == [True]
    assert KEYS["secret_key"] not in repr(prometheus)


async def test_keys_of_another_are_not_accepted(serve: Serve) -> None:
    seen: list[bool] = []
    url = await serve(aps(Credentials(KEYS["access_key"], "another"), seen))
    with pytest.raises(SourceUnavailable) as caught:
        await fetched(source(url, sigv4=KEYS))
    assert (caught.value.reason, seen) == ("http_403", [False])


async def test_keys_and_region_are_found_where_awss_own_tools_look(serve: Serve, tmp_path: Path) -> None:
    seen: list[bool] = []
    url = await serve(aps(Credentials("AKIDOFPROFILE", "secret", "session"), seen))
    (tmp_path / "credentials").write_text(
        "[metrics]\naws_access_key_id = AKIDOFPROFILE\naws_secret_access_key = secret\naws_session_token = session\n"
    )
    (tmp_path / "config").write_text("[profile metrics]\nregion = eu-west-1\n")
    prometheus = source(url, sigv4={"profile": "metrics"})
    await asyncio.gather(*(fetched(prometheus) for _ in range(5)))
    assert seen == [True] * 5


@pytest.mark.parametrize(("block", "words"), [({}, "no region"), ({"region": "eu-west-1"}, "no keys")])
async def test_without_keys_nothing_is_asked(serve: Serve, block: dict[str, str], words: str) -> None:
    seen: list[bool] = []
    url = await serve(aps(Credentials("a", "b"), seen))
    with pytest.raises(SourceUnavailable, match=f"sigv4: {words}") as caught:
        await fetched(source(url, sigv4=block))
    assert (caught.value.reason, seen) == ("login", [])


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


async def test_another_role_is_taken_once_for_all_who_ask(
    serve: Serve, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    roles: list[str] = []

    async def sts(request: web.Request) -> web.Response:
        roles.append((await request.read()).decode())
        async with aiohttp.ClientSession() as session:
            more = {name: request.headers[name] for name in ("Authorization", "Content-Type", "X-Amz-Date")}
            async with session.post(aws, data=roles[-1], headers=more) as answer:
                return web.Response(status=answer.status, body=await answer.read(), content_type="text/xml")

    shown: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        shown.append((request.headers["X-Amz-Security-Token"], request.headers["Authorization"]))
        return web.json_response(UP)

    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", await serve(sts))
    block = {**KEYS, "role_arn": "arn:aws:iam::123456789012:role/reads-metrics", "external_id": "ours"}
    prometheus = source(await serve(answer), sigv4=block, concurrency=8)
    await asyncio.gather(*(fetched(prometheus) for _ in range(8)))
    assert len(roles) == 1
    assert "ExternalId=ours" in roles[0]
    assert len({token for token, _ in shown}) == 1
    assert all("AKIDEXAMPLE" not in shown_text for _, shown_text in shown)


async def test_a_role_that_is_not_given_is_reported_by_its_code(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async def sts(_: web.Request) -> web.Response:
        error = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>arn of ours</Message></Error></ErrorResponse>"
        return web.Response(status=403, text=error, content_type="text/xml")

    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", await serve(sts))
    prometheus = source("http://127.0.0.1:1", sigv4={**KEYS, "role_arn": "arn:aws:iam::123456789012:role/other"})
    with pytest.raises(SourceUnavailable, match="sigv4: no keys: AccessDenied") as caught:
        await fetched(prometheus)
    assert "arn" not in str(caught.value)


async def test_what_a_query_may_cost_is_reported_and_no_missing_data(serve: Serve) -> None:
    warning = "the query processed 5000000 samples, which is over the warning threshold of 1000000"

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(UP | {"warnings": [warning]})

    url = await serve(answer)
    unlimited = await fetched(source(url, sigv4=KEYS))
    assert unlimited.warnings == ()
    assert unlimited.notes[0] == warning
    assert "max_samples_processed_error_threshold" in unlimited.notes[1]
    limited = await fetched(source(url, sigv4=KEYS, params={"max_samples_processed_error_threshold": "10000000"}))
    assert limited.notes == (warning,)


# Azure

APPLICATION = {"client_id": "11-22", "tenant_id": "33-44", "client_secret": "s3cret"}


def azure(issuer: Issuer) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        if "api/v1" not in request.path:
            return await issuer.issue(request)
        return web.json_response(UP) if issuer.knows(request.headers) else web.Response(status=401)

    return answer


async def test_an_application_shows_its_secret_to_its_tenant(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = Issuer(seconds="3599")
    url = await serve(azure(issuer))
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"{url}/")
    await fetched(source(url, azuread={"oauth": APPLICATION}))
    ((request, form),) = issuer.asked
    assert (request.method, request.path) == ("POST", "/33-44/oauth2/v2.0/token")
    scope = {"grant_type": "client_credentials", "scope": "https://prometheus.monitor.azure.com/.default"}
    assert form == {"client_id": "11-22", "client_secret": "s3cret", **scope}


async def test_a_pod_shows_the_token_of_its_cluster_which_is_read_anew(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    issuer, file = Issuer(), tmp_path / "token"
    url = await serve(azure(issuer))
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", url)
    pod = {"client_id": "11-22", "tenant_id": "33-44", "token_file_path": str(file)}
    prometheus = source(url, azuread={"workload_identity": pod, "scope": "api://ours/.default"})
    with pytest.raises(SourceUnavailable, match="cannot be read"):
        await fetched(prometheus)
    for text in ("of-the-cluster", "newer"):
        file.write_text(text)
        await fetched(prometheus)
        issuer.revoke()
    assert [form["client_assertion"] for _, form in issuer.asked] == ["of-the-cluster", "newer"]
    assert issuer.asked[0][1]["scope"] == "api://ours/.default"


async def test_a_machine_asks_the_service_beside_it(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = Issuer(seconds="86399")
    url = await serve(azure(issuer))
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
    await fetched(source(url, azuread={"managed_identity": {"client_id": "11-22"}}))
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "proof")
    await fetched(source(url, azuread={"managed_identity": {}}))
    (machine, _), (container, _) = issuer.asked
    resource = {"resource": "https://prometheus.monitor.azure.com"}
    assert machine.path == "/metadata/identity/oauth2/token"
    assert dict(machine.query) == {"api-version": "2018-02-01", "client_id": "11-22", **resource}
    assert machine.headers["Metadata"] == "true"
    assert (container.path, dict(container.query)) == ("/msi/token", {"api-version": "2019-08-01", **resource})
    assert container.headers["X-IDENTITY-HEADER"] == "proof"


async def test_a_query_of_several_metrics_is_advised_against_and_one_without_a_name_refused(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses = False

    async def answer(request: web.Request) -> web.Response:
        if "api/v1" not in request.path:
            return await Issuer().issue(request)
        error = {"status": "error", "errorType": "bad_data", "error": "must be scoped to a metric"}
        return web.json_response(error, status=422) if refuses else web.json_response(UP)

    url = await serve(answer)
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", url)
    prometheus = source(url, azuread={"oauth": APPLICATION})
    assert (await fetched(prometheus, "rate(a[5m]) / rate(a[10m])")).notes == ()
    (advice,) = (await fetched(prometheus, 'rate(a[5m]) / {__name__="b"}')).notes
    assert "several metrics (a, b)" in advice
    with pytest.raises(SourceRefused, match="a metric's name in each selector"):
        prometheus.prepare('{job="x"}')
    refuses = True
    with pytest.raises(SourceRefused, match=r"scoped to a metric; Azure Monitor may refuse .*\(a, b\)"):
        await fetched(prometheus, "a / b")


# Google


async def test_an_account_of_google_shows_a_signed_claim(serve: Serve, tmp_path: Path) -> None:
    issuer = Issuer()
    url = await serve(azure(issuer))
    prometheus = source(url, google_iam={"credentials_file": str(account_of_google(tmp_path, f"{url}/token"))})
    for _ in range(2):
        await asyncio.gather(*(fetched(prometheus) for _ in range(8)))
        issuer.revoke()
    assert len(issuer.asked) == 2
    claim = jwt.decode(issuer.asked[0][1]["assertion"], verify=False)
    assert claim["iss"] == ACCOUNT
    assert claim["scope"] == "https://www.googleapis.com/auth/monitoring.read"


async def test_a_machine_of_google_asks_its_metadata_server(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer, flavours = Issuer(), []

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/":
            return web.Response(headers={"Metadata-Flavor": "Google"})
        if "computeMetadata" not in request.path:
            return web.json_response(UP) if issuer.knows(request.headers) else web.Response(status=401)
        flavours.append(request.headers.get("Metadata-Flavor"))
        content = (
            await issuer.issue(request)
            if request.path.endswith("/token")
            else web.json_response({"email": "machine@x", "scopes": [], "aliases": ["default"]})
        )
        content.headers["Metadata-Flavor"] = "Google"
        return content

    url = await serve(answer)
    monkeypatch.setenv("GCE_METADATA_HOST", url.removeprefix("http://"))
    monkeypatch.setenv("GCE_METADATA_IP", url.removeprefix("http://"))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "ours")
    await fetched(source(url, google_iam={}))
    assert len(issuer.asked) == 1
    assert set(flavours) <= {"Google", "google"}


async def test_a_file_that_is_no_account_is_reported_without_its_words(tmp_path: Path) -> None:
    (tmp_path / "account.json").write_text('{"type": "s3cret"}')
    prometheus = source("http://127.0.0.1:1", google_iam={"credentials_file": str(tmp_path / "account.json")})
    with pytest.raises(SourceUnavailable, match="google_iam: no token: ValueError") as caught:
        await fetched(prometheus)
    assert "s3cret" not in str(caught.value)


# A real Prometheus behind a door.


@pytest.mark.real
@pytest.mark.parametrize("door", ["sigv4", "oauth2"])
async def test_a_real_prometheus_answers_behind_a_door_that_asks_who_we_are(
    start: Start, tmp_path: Path, serve: Serve, door: str
) -> None:
    prometheus = start(RealPrometheus(tmp_path / "prometheus"))
    issuer, seen = Issuer(), []
    keys = Credentials(KEYS["access_key"], KEYS["secret_key"])

    async def through(request: web.Request) -> web.Response:
        if request.path == "/token":
            return await issuer.issue(request)
        known = issuer.knows(request.headers) or await signed(request, keys, "eu-west-1", "aps")
        seen.append(known)
        if not known:
            return web.Response(status=401)
        async with aiohttp.ClientSession() as session:
            form = {"Content-Type": request.headers["Content-Type"]}
            address = prometheus.url + request.path
            async with session.post(address, data=await request.read(), headers=form) as answer:
                return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")

    url = await serve(through)
    token = {"client_id": "a", "client_secret": "b", "token_url": f"{url}/token"}
    at = START + 60 * len(door)
    times = np.array([at, at + 60.0])
    prometheus.remote_write(
        [Series(metric="behind_a_door", labels={"door": door}, times=times, values=np.array([2.0, 3.0]))]
    )
    behind = source(url, **{door: KEYS if door == "sigv4" else token})
    window = Window(start=datetime.fromtimestamp(at, UTC), end=datetime.fromtimestamp(at + 60, UTC))
    series = await fetched(behind, f'behind_a_door{{door="{door}"}}', window)
    assert series.values.tolist() == [2, 3]
    await behind.reach()
    assert seen == [True, True]

"""What each cloud billed, asked as its own API is: AWS by its library and moto's server, the others by doubles."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from google.auth import jwt
from moto.server import ThreadedMotoServer

from afdp_exporter.bills import Bill
from afdp_exporter.errors import BillError, ConfigError
from afdp_exporter.settings import build
from issuing import Issuer, account_of_google
from loopback import Serve

SINCE, UNTIL = date(2026, 10, 1), date(2026, 10, 4)
APPLICATION = {"client_id": "11-22", "tenant_id": "33-44", "client_secret": "s3cret"}


def bill(kind: str, **block: object) -> Bill:
    built: Bill = build("bills", kind, block, "bills[0]")
    return built


# AWS


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def day_of_aws(day: int, amount: str, unit: str = "USD") -> dict[str, Any]:
    period = {"Start": f"2026-10-{day:02}", "End": f"2026-10-{day + 1:02}"}
    total = {"AmortizedCost": {"Amount": amount, "Unit": unit}}
    return {"TimePeriod": period, "Total": total, "Groups": [], "Estimated": True}


async def queue(moto: str, *pages: dict[str, Any]) -> None:
    """What moto answers next."""
    async with ClientSession(moto) as session:
        await session.post("/moto-api/reset")
        await session.post("/moto-api/static/ce/cost-and-usage-results", json={"results": list(pages)})


async def test_aws_reports_its_days_page_by_page(moto: str) -> None:
    first = {"ResultsByTime": [day_of_aws(1, "10.5")], "NextPageToken": "more", "DimensionValueAttributes": []}
    await queue(moto, first, {"ResultsByTime": [day_of_aws(2, "11"), day_of_aws(3, "0")]})
    found = await bill("aws", url=moto, accounts=["1"], tags={"cluster": "prod"}).daily(SINCE, UNTIL)
    assert (found.currency, list(found.days.values())) == ("USD", [10.5, 11.0, 0.0])
    assert min(found.days) == SINCE


@pytest.mark.parametrize(
    ("days", "message"),
    [
        ([], "nothing was billed"),
        ([day_of_aws(1, "1"), day_of_aws(2, "1", "EUR")], "it is in EUR and USD"),
        ([day_of_aws(1, "much")], "no costs by day"),
    ],
)
async def test_what_is_no_bill_of_one_currency_is_an_error(moto: str, days: list[Any], message: str) -> None:
    await queue(moto, {"ResultsByTime": days})
    with pytest.raises(BillError, match=message):
        await bill("aws", url=moto).daily(SINCE, UNTIL)


async def test_aws_that_is_away_is_an_error_without_keys(moto: str) -> None:
    with pytest.raises(BillError, match=r"^ce cannot be read: EndpointConnectionError$"):
        await bill("aws", url="http://127.0.0.1:1").daily(SINCE, UNTIL)


# Azure


def azure(issuer: Issuer, asked: list[web.Request], *pages: object) -> Callable[[web.Request], Any]:
    """Issues tokens, and answers one page after the other."""
    rest = list(pages)

    async def answer(request: web.Request) -> web.Response:
        if "oauth2" in request.path:
            return await issuer.issue(request)
        await request.read()
        asked.append(request)
        if not issuer.knows(request.headers):
            return web.Response(status=401)
        page = rest.pop(0)
        return page if isinstance(page, web.Response) else web.json_response(page)

    return answer


def table(*rows: list[Any], following: str | None = None) -> dict[str, Any]:
    columns = [("Cost", "Number"), ("UsageDate", "Number"), ("Currency", "String")]
    named = [{"name": name, "type": kind} for name, kind in columns]
    return {"properties": {"nextLink": following, "columns": named, "rows": list(rows)}}


async def test_azure_reports_its_days_page_by_page(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer, asked = Issuer(), list[web.Request]()
    pages = [table([10.5, 20261001, "EUR"]), table([11, 20261002, "EUR"], [99, 20261004, "EUR"])]
    url = await serve(azure(issuer, asked, *pages))
    pages[0]["properties"]["nextLink"] = f"{url}/next?$skiptoken=AQAAAA"
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", url)
    block = {"url": url, "scope": "/subscriptions/1-2/resourceGroups/shop", "azuread": {"oauth": APPLICATION}}
    found = await bill("azure", **block, tags={"cluster": "it's prod"}).daily(SINCE, UNTIL)
    assert (found.currency, dict(found.days)) == ("EUR", {SINCE: 10.5, date(2026, 10, 2): 11.0})
    assert asked[0].path == "/subscriptions/1-2/resourceGroups/shop/providers/Microsoft.CostManagement/query"
    assert asked[1].path == "/next"
    assert issuer.asked[0][1]["scope"] == "https://management.azure.com/.default"
    question = json.loads(await asked[0].read())
    assert question["timePeriod"] == {"from": "2026-10-01T00:00:00Z", "to": "2026-10-04T00:00:00Z"}
    chosen = question["dataset"]["filter"]["and"]
    assert chosen[1]["tags"] == {"name": "cluster", "operator": "In", "values": ["it's prod"]}


async def test_azure_is_asked_at_its_own_address_alone(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[web.Request]()
    url = await serve(azure(Issuer(), asked, table([1, 20261001, "EUR"], following="https://elsewhere.test/")))
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", url)
    with pytest.raises(BillError, match="another address"):
        await bill("azure", url=url, scope="/subscriptions/1", azuread={"oauth": APPLICATION}).daily(SINCE, UNTIL)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ({"properties": {"columns": [], "rows": [[1]]}}, "no costs by day"),
        ({"properties": None}, "no costs by day"),
        (web.Response(text="not JSON"), "no JSON object"),
        (web.json_response({"error": {"message": "Too\nmany"}}, status=403), "it answers 403: Too many"),
    ],
)
async def test_what_is_no_answer_of_azure_is_an_error(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, page: object, message: str
) -> None:
    url = await serve(azure(Issuer(), [], page))
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", url)
    with pytest.raises(BillError, match=message):
        await bill("azure", url=url, scope="/subscriptions/1", azuread={"oauth": APPLICATION}).daily(SINCE, UNTIL)


# Google


def row(*values: str) -> dict[str, Any]:
    return {"f": [{"v": value} for value in values]}


async def test_google_reports_its_days_once_its_query_is_done(serve: Serve, tmp_path: Path) -> None:
    issuer, asked = Issuer(), list[web.Request]()
    waits = {"jobComplete": False, "jobReference": {"projectId": "shop-1", "jobId": "job_9", "location": "EU"}}
    done = {"jobComplete": True, "rows": [row("2026-10-01", "USD", "10.5"), row("2026-10-02", "USD", "1.1E1")]}

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/token":
            return await issuer.issue(request)
        await request.read()
        asked.append(request)
        return web.json_response(waits if len(asked) == 1 else done)

    url = await serve(answer)
    block = {"url": url, "table": "shop-1.billing.gcp_billing_export_v1_01", "location": "EU"}
    account = {"credentials_file": str(account_of_google(tmp_path, f"{url}/token"))}
    found = await bill("google", **block, google_iam=account, labels={"it's": "`; DROP"}).daily(SINCE, UNTIL)
    assert (found.currency, dict(found.days)) == ("USD", {SINCE: 10.5, date(2026, 10, 2): 11.0})
    assert jwt.decode(issuer.asked[0][1]["assertion"], verify=False)["scope"].endswith("/auth/bigquery")
    first, again = asked
    assert (first.path, again.path) == (
        "/bigquery/v2/projects/shop-1/queries",
        "/bigquery/v2/projects/shop-1/queries/job_9",
    )
    assert again.query["location"] == "EU"
    question = json.loads(await first.read())
    assert not re.search("DROP|it's|2026", question["query"])  # values are parameters
    given = {each["name"]: each["parameterValue"] for each in question["queryParameters"]}
    assert set(re.findall(r"@(\w+)", question["query"])) == set(given)
    assert given["value0"] == {"value": "`; DROP"}


def test_a_table_is_a_name_and_nothing_else() -> None:
    with pytest.raises(ConfigError, match=r"bills\[0\]\.table"):
        bill("google", table="shop.billing.t` WHERE 1=1 --")

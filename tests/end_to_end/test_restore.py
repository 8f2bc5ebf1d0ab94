"""The drill: a backup while deployments come in, as the documentation makes it, put in place elsewhere and served."""

import asyncio
import re
import shlex
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import ClientSession

from afdp_exporter.config import read
from afdp_exporter.handlers.connections import listening
from afdp_exporter.server import make_app
from afdp_exporter.store.opening import DATABASE
from afdp_exporter.store.sqlite import SQLiteStore

DOCUMENTED = Path(__file__).parents[2] / "docs/store.md"
PATIENCE = 60.0


@asynccontextmanager
async def served(folder: Path):  # noqa: ANN201
    """A client of an exporter on the store of a folder."""
    store = await SQLiteStore.open(folder / DATABASE, folder=True)
    app = make_app(read({"sources": [{"kind": "recording", "path": str(folder)}]}), store=store)
    async with listening(app, [("127.0.0.1", 0)]) as (url,), ClientSession(url) as client:
        yield client
    await store.close()


async def post(client: ClientSession, name: str) -> None:
    answer = await client.post("/api/v1/deployments", json={"service": f"s{len(name)}", "id": name, "version": "1"})
    assert answer.status == 201


async def ids(client: ClientSession) -> set[str]:
    found, cursor = set[str](), None
    while True:
        page = {"limit": "500"} | ({"cursor": cursor} if cursor else {})
        answer = await (await client.get("/api/v1/deployments", params=page)).json()
        found |= {each["id"] for each in answer["deployments"]}
        cursor = answer.get("cursor")
        if not cursor:
            return found


async def test_what_was_acknowledged_before_a_backup_began_is_served_from_the_copy(tmp_path: Path) -> None:
    command = re.findall(r"^python -c .*VACUUM INTO.*$", DOCUMENTED.read_text(), re.MULTILINE)
    python, *words = shlex.split(command[0])
    assert python == "python"
    acknowledged, sent = set[str](), 300
    copying = asyncio.Event()

    async with served(tmp_path / "data") as client:

        async def send(numbers: range) -> None:
            for number in numbers:
                await post(client, f"d{number}")
                acknowledged.add(f"d{number}")
                if len(acknowledged) > sent // 3:
                    copying.set()

        sending = [asyncio.create_task(send(range(first, sent, 4))) for first in range(4)]
        await copying.wait()
        before = set(acknowledged)
        process = await asyncio.create_subprocess_exec(sys.executable, *words, cwd=tmp_path)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
        await asyncio.gather(*sending)
        everything = await ids(client)
    assert len(everything) == sent

    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "copy.db").replace(tmp_path / "elsewhere" / DATABASE)
    async with served(tmp_path / "elsewhere") as client:
        restored = await ids(client)
        assert before <= restored <= everything
        await post(client, "after")  # and it takes in what comes
        assert await ids(client) == restored | {"after"}

"""The API held to a model in memory, by calls drawn at random, while the exporter is killed again and again."""

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientError, ClientSession, ClientTimeout

PATH = "/api/v1/deployments"
SERVICES = ("api", "shop")
CALLS, KILLS = 50, 6


@dataclass
class Exporter:
    """One that is started on the same folder after each kill."""

    folder: Path
    process: asyncio.subprocess.Process | None = None
    client: ClientSession | None = None

    async def start(self) -> None:
        flags = [
            f"--config.file={self.folder}/afdp.yml",
            f"--storage.path={self.folder}/data",
            "--web.listen-address=127.0.0.1:0",
        ]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "afdp_exporter",
            "serve",
            *flags,
            stderr=asyncio.subprocess.PIPE,
            env={"NO_COLOR": "1"},
        )
        assert self.process.stderr is not None
        async with asyncio.timeout(120):
            async for line in self.process.stderr:
                if b"msg=listening" in line:
                    address = line.decode().partition("address=")[2].split()[0].strip('"')
                    self.client = ClientSession(address, timeout=ClientTimeout(total=60))
                    return
        raise AssertionError("it ended before it listened")

    async def kill(self) -> None:
        assert self.process is not None
        assert self.client is not None
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        await self.process.communicate()
        await self.client.close()


@dataclass
class Model:
    """What must be there; of a deployment with a call that had no answer, each way in which it may have ended."""

    chance: random.Random
    known: dict[str, list[dict[str, Any] | None]] = field(default_factory=dict)

    def call(self) -> tuple[str, str, dict[str, Any]]:
        """Method, id and body of the next call; an id is sent for a second time now and then."""
        name = f"d{self.chance.randrange(12)}"
        if self.chance.random() < 0.5:
            body: dict[str, Any] = {"id": name, "service": self.chance.choice(SERVICES)}
            return "POST", name, body | {"version": f"v{self.chance.randrange(2)}", "traits": {"rows": 1.0}}
        change = self.chance.choice(
            [
                {"note": f"n{self.chance.randrange(99)}"},
                {"note": None},
                {"traits": {"files": self.chance.randrange(9) + 0.5}},
            ]
        )
        return "PATCH", name, change

    @staticmethod
    def after(method: str, body: dict[str, Any], before: dict[str, Any] | None) -> tuple[int, dict[str, Any] | None]:
        """The status of the answer, and what is there then."""
        if method == "POST":
            if before is None:
                return 201, {**body, "note": None}
            same = all(before[key] == body[key] for key in ("service", "version"))
            return 200 if same else 409, before  # an id stands for one deployment
        if before is None:
            return 404, None
        traits = before["traits"] | body.get("traits", {})
        return 200, before | {name: text for name, text in body.items() if name != "traits"} | {"traits": traits}

    def answered(self, method: str, name: str, body: dict[str, Any], status: int) -> None:
        """What is left of what may be there, by the answer."""
        ways = [self.after(method, body, before) for before in self.known.get(name, [None])]
        left = [found for wanted, found in ways if wanted == status]
        assert left, (method, name, body, status, self.known.get(name))
        self.known[name] = left

    def unanswered(self, method: str, name: str, body: dict[str, Any]) -> None:
        """It may have been done or not."""
        before = self.known.get(name, [None])
        self.known[name] = [*before, *(self.after(method, body, each)[1] for each in before)]

    async def compare(self, client: ClientSession) -> None:
        """Hold all that is there to the model; from then on that is what was."""
        deployments = (await (await client.get(PATH, params={"limit": "500"})).json())["deployments"]
        found = {each["id"]: each for each in deployments}
        assert found.keys() <= self.known.keys()
        for name, ways in self.known.items():
            there = found.get(name)
            seen = there and {key: there.get(key) for key in ("id", "service", "version", "traits", "note")}
            assert seen in ways, (name, seen, ways)
            self.known[name] = [seen]


@pytest.fixture
async def exporter(tmp_path: Path) -> AsyncIterator[Exporter]:
    sources = [{"name": "recorded", "kind": "recording", "path": str(tmp_path)}]
    (tmp_path / "afdp.yml").write_text(yaml.safe_dump({"sources": sources}))
    made = Exporter(tmp_path)
    await made.start()
    yield made
    await made.kill()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
async def test_what_the_api_answers_is_what_is_there_however_often_it_is_killed(exporter: Exporter, seed: int) -> None:
    model = Model(random.Random(seed))
    for _ in range(KILLS):
        deadly = model.chance.randrange(CALLS // 2, CALLS)
        for number in range(CALLS):
            method, name, body = model.call()
            assert exporter.client is not None
            path = PATH if method == "POST" else f"{PATH}/{name}"
            calling = asyncio.create_task(exporter.client.request(method, path, json=body))
            if number == deadly:
                await asyncio.sleep(model.chance.random() * 0.01)  # anywhere between the call and its answer
                await exporter.kill()
            try:
                answer = await calling
            except (ClientError, OSError):
                model.unanswered(method, name, body)
                break
            model.answered(method, name, body, answer.status)
            if number == deadly:
                break
        await exporter.start()
        await model.compare(exporter.client)


def test_control_the_model_notices_a_patch_that_was_acknowledged_and_lost() -> None:
    model = Model(random.Random(0))
    model.answered("POST", "d1", {"id": "d1", "service": "api", "version": "v1", "traits": {}}, 201)
    model.answered("PATCH", "d1", {"note": "kept"}, 200)
    assert [each and each["note"] for each in model.known["d1"]] == ["kept"]
    model.unanswered("PATCH", "d1", {"note": "perhaps"})
    assert [each and each["note"] for each in model.known["d1"]] == ["kept", "perhaps"]
    with pytest.raises(AssertionError):
        model.answered("PATCH", "d2", {"note": "x"}, 200)  # of what was never reported

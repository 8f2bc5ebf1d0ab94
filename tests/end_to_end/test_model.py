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
ANNOTATIONS = "/api/annotations"
SERVICES = ("api", "shop")
CALLS, KILLS = 50, 6
_SEEN = ("id", "service", "version", "traits", "labels", "note")


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
class Call:
    """What is asked of the exporter; `name` is the id of a deployment (d...), or the text of an annotation (a...)."""

    method: str
    path: str
    name: str
    body: dict[str, Any]


@dataclass
class Model:
    """What must be there; of a thing with a call that had no answer, each way in which it may have ended."""

    chance: random.Random
    known: dict[str, list[dict[str, Any] | None]] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)  # of annotations, once they are known
    written: int = 0

    def call(self) -> Call:
        """The next one; an id is recorded for a second time now and then."""
        return self._of_annotations() if self.chance.random() < 0.3 else self._of_deployments()

    def _of_deployments(self) -> Call:
        name = f"d{self.chance.randrange(12)}"
        if self.chance.random() < 0.5:
            body: dict[str, Any] = {"id": name, "service": self.chance.choice(SERVICES)}
            body |= {"version": f"v{self.chance.randrange(2)}", "traits": {"rows": 1.0}, "labels": {"region": "eu"}}
            return Call("POST", PATH, name, body)
        change = self.chance.choice(
            [
                {"note": f"n{self.chance.randrange(99)}"},
                {"note": None},
                {"traits": {"files": self.chance.randrange(9) + 0.5}},
                {"labels": {"ring": f"r{self.chance.randrange(3)}"}},
            ]
        )
        return Call("PATCH", f"{PATH}/{name}", name, change)

    def _of_annotations(self) -> Call:
        if not self.ids or self.chance.random() < 0.4:
            self.written += 1
            name = f"a{self.written}"
            return Call("POST", ANNOTATIONS, name, {"text": name, "tags": ["seen"], "time": 1772452800000})
        name, number = self.chance.choice(sorted(self.ids.items()))
        if self.chance.random() < 0.4:
            return Call("DELETE", f"{ANNOTATIONS}/{number}", name, {})
        return Call("PATCH", f"{ANNOTATIONS}/{number}", name, {"tags": [f"t{self.chance.randrange(5)}"]})

    @staticmethod
    def after(call: Call, before: dict[str, Any] | None) -> tuple[int, dict[str, Any] | None]:
        """The status of the answer, and what is there then."""
        body = call.body
        if call.method == "POST" and call.path == ANNOTATIONS:
            return 200, {"tags": body["tags"]}
        if call.method == "POST":
            if before is None:
                return 201, {**body, "note": None}
            same = all(before[key] == body[key] for key in ("service", "version"))
            return 200 if same else 409, before  # an id stands for one deployment
        if before is None:
            return 404, None
        if call.method == "DELETE":
            return 200, None
        added = {part: before[part] | body[part] for part in ("traits", "labels") if part in body}
        return 200, before | body | added

    def answered(self, call: Call, status: int) -> None:
        """What is left of what may be there, by the answer."""
        ways = [self.after(call, before) for before in self.known.get(call.name, [None])]
        left = [found for wanted, found in ways if wanted == status]
        assert left, (call, status, self.known.get(call.name))
        self.known[call.name] = left

    def unanswered(self, call: Call) -> None:
        """It may have been done or not."""
        before = self.known.get(call.name, [None])
        self.known[call.name] = [*before, *(self.after(call, each)[1] for each in before)]

    async def compare(self, client: ClientSession) -> None:
        """Hold all that is there to the model; from then on that is what was."""
        deployments = (await (await client.get(PATH, params={"limit": "500"})).json())["deployments"]
        found: dict[str, dict[str, Any]] = {each["id"]: each for each in deployments}
        for each in await (await client.get(ANNOTATIONS, params={"limit": "1000"})).json():
            found[each["text"]] = {"tags": each["tags"]}
            self.ids[each["text"]] = each["id"]
        assert found.keys() <= self.known.keys()
        for name, ways in self.known.items():
            there = found.get(name)
            seen = there and {key: there.get(key) for key in (_SEEN if name.startswith("d") else ("tags",))}
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
            call = model.call()
            assert exporter.client is not None
            calling = asyncio.create_task(exporter.client.request(call.method, call.path, json=call.body))
            if number == deadly:
                await asyncio.sleep(model.chance.random() * 0.01)  # anywhere between the call and its answer
                await exporter.kill()
            try:
                answer = await calling
            except (ClientError, OSError):
                model.unanswered(call)
                break
            model.answered(call, answer.status)
            if call.path == ANNOTATIONS:
                model.ids[call.name] = (await answer.json())["id"]
            if number == deadly:
                break
        await exporter.start()
        await model.compare(exporter.client)


def test_control_the_model_notices_a_patch_that_was_acknowledged_and_lost() -> None:
    model = Model(random.Random(0))
    made = {"id": "d1", "service": "api", "version": "v1", "traits": {}, "labels": {}}
    model.answered(Call("POST", PATH, "d1", made), 201)
    model.answered(Call("PATCH", f"{PATH}/d1", "d1", {"note": "kept"}), 200)
    assert [each and each["note"] for each in model.known["d1"]] == ["kept"]
    model.unanswered(Call("PATCH", f"{PATH}/d1", "d1", {"note": "perhaps"}))
    assert [each and each["note"] for each in model.known["d1"]] == ["kept", "perhaps"]
    with pytest.raises(AssertionError):
        model.answered(Call("PATCH", f"{PATH}/d2", "d2", {"note": "x"}), 200)  # of what was never recorded

"""What a Grafana keeps: its annotation API as its documentation describes it, in memory, with faults on demand."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from loopback import Handler

Fault = Callable[[web.Request, Handler], Any]


@dataclass
class AnnotatingGrafana:
    """Answers `/api/annotations`; `faults` are used up one a request, None passes."""

    annotations: dict[int, dict[str, Any]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    faults: list[Fault | None] = field(default_factory=list)
    token: str | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        self.headers.append(dict(request.headers))
        fault = self.faults.pop(0) if self.faults else None
        answer = await (fault(request, self._answer) if fault is not None else self._answer(request))
        self.changed.set()
        assert isinstance(answer, web.StreamResponse)
        return answer

    async def _answer(self, request: web.Request) -> web.Response:  # noqa: PLR0911 - one for each call
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"message": "Unauthorized"}, status=401)
        number = int(request.path.rpartition("/")[2]) if request.path != "/api/annotations" else None
        if number is not None and number not in self.annotations:
            return web.json_response({"message": "Annotation not found"}, status=404)
        match request.method, number:
            case "GET", None:
                return web.json_response(self._found(request))
            case "POST", None:
                number = len(self.requests)
                self.annotations[number] = await request.json()
                return web.json_response({"message": "Annotation added", "id": number})
            case "PATCH", int(number):
                self.annotations[number] |= await request.json()
                return web.json_response({"message": "Annotation patched"})
            case "DELETE", int(number):
                del self.annotations[number]
                return web.json_response({"message": "Annotation deleted"})
        return web.json_response({"message": "Not found"}, status=404)

    def _found(self, request: web.Request) -> list[dict[str, Any]]:
        wanted = set(request.query.getall("tags", []))
        found = [{"id": number} | each for number, each in self.annotations.items() if wanted <= set(each["tags"])]
        return found[: int(request.query.get("limit", "100"))]


def answers(status: int, body: str = "{}") -> Fault:
    """Nothing happens, and this is answered."""

    async def fault(_: web.Request, __: Handler) -> web.Response:
        return web.Response(status=status, text=body, headers={"Location": "/elsewhere"})

    return fault


async def loses_the_answer(request: web.Request, answer: Handler) -> web.StreamResponse:
    """It is done, and the connection breaks before that is answered."""
    done = await answer(request)
    assert request.transport is not None
    request.transport.close()
    return done


async def never_answers(request: web.Request, answer: Handler) -> web.StreamResponse:
    """It is done, and nothing is answered for an hour."""
    done = await answer(request)
    await asyncio.sleep(3600)
    return done

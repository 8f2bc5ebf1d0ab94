"""An issuer of tokens on the loopback, and the server that accepts only what it issued."""

from collections.abc import Mapping
from itertools import count
from urllib.parse import parse_qsl

from aiohttp import web


class Issuer:
    """Issues numbered tokens by OAuth 2.0, each for so many seconds; `revoke` ends all of them."""

    def __init__(self, seconds: object = 3600) -> None:
        self.seconds = seconds
        self.asked: list[tuple[web.Request, dict[str, str]]] = []
        self.valid: set[str] = set()
        self.refuses: web.Response | None = None
        self.reads_headers = True
        self._numbers = count(1)

    async def issue(self, request: web.Request) -> web.Response:
        """One token, or what is set as the refusal."""
        form = dict(parse_qsl((await request.read()).decode()))
        self.asked.append((request, form))
        if self.refuses is not None:
            return web.Response(status=self.refuses.status, body=self.refuses.body)
        if not self.reads_headers and "client_secret" not in form:
            return web.json_response({"error": "invalid_client"}, status=401)
        token = f"token-{next(self._numbers)}"
        self.valid.add(token)
        token_answer = {"access_token": token, "token_type": "Bearer"}
        return web.json_response(token_answer if self.seconds is None else token_answer | {"expires_in": self.seconds})

    def revoke(self) -> None:
        """No token that was issued is accepted any longer."""
        self.valid.clear()

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Whether these headers show a token that holds."""
        return headers.get("Authorization", "").removeprefix("Bearer ") in self.valid

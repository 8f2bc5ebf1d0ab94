"""An issuer of tokens on the loopback, and the server that accepts only what it issued."""

import json
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from urllib.parse import parse_qsl

from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ACCOUNT = "afdp@project.iam.gserviceaccount.com"


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


def account_of_google(folder: Path, token_url: str) -> Path:
    """The file of a service account whose tokens are issued at an address."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    content = {
        "type": "service_account",
        "client_email": ACCOUNT,
        "private_key": key.private_bytes(*form).decode(),
        "token_uri": token_url,
    }
    file = folder / "account.json"
    file.write_text(json.dumps(content))
    return file

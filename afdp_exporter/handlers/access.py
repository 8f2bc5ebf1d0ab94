"""Who may: bearer tokens with scopes."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from pydantic import SecretStr

from afdp_exporter.errors import Forbidden, Unauthorised
from afdp_exporter.settings import STRICT, read_secret


class Scope(StrEnum):
    """What a token allows."""

    READ = "read"
    ANNOTATE = "annotate"
    GATE = "gate"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A bearer token: its name for the logs, its secret (or the file that holds it), what it allows."""

    __pydantic_config__: ClassVar = STRICT

    name: str
    token: SecretStr | None = None
    token_file: Path | None = None
    scopes: tuple[Scope, ...] = (Scope.READ, Scope.ANNOTATE)

    def __post_init__(self) -> None:
        if (self.token is None) is (self.token_file is None):
            raise ValueError("exactly one of token and token_file is needed")
        if self.token is not None and not self.token.get_secret_value():
            raise ValueError("an empty token would let everybody in")
        if self.token_file is not None and not self.token_file.is_file():
            raise ValueError("token_file does not exist")


def authorise(tokens: Iterable[Token], header: str | None, scope: Scope) -> None:
    """Raise Unauthorised or Forbidden unless the Authorization header holds a token with this scope.

    Without any configured token everybody may. All tokens are compared, each in constant time.
    """
    known = tuple(tokens)
    if not known:
        return
    kind, _, given = (header or "").partition(" ")
    secret = given.strip().encode("utf-8", "surrogateescape") if kind.lower() == "bearer" else b""
    matches = [token for token in known if hmac.compare_digest(_secret(token), secret)]
    if not secret or not matches:
        raise Unauthorised("a bearer token is needed: Authorization: Bearer TOKEN")
    if not any(scope in token.scopes or Scope.ADMIN in token.scopes for token in matches):
        raise Forbidden(f"this token lacks the scope {scope}")


def _secret(token: Token) -> bytes:
    """What the token says now; nothing that matches where its file has become unreadable or empty."""
    try:
        return (read_secret(token.token, token.token_file) or "").encode()
    except (OSError, UnicodeDecodeError):
        return b""

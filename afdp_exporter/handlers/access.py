"""Who may: tokens and users with scopes; deny by default."""

import asyncio
import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import ClassVar

from pydantic import AwareDatetime, SecretStr

from afdp_exporter.errors import Forbidden, Unauthorised
from afdp_exporter.handlers.passwords import Passwords
from afdp_exporter.settings import STRICT, read_secret


class Scope(StrEnum):
    """What a token or a user may do; `admin` includes the others."""

    READ = "read"
    ANNOTATE = "annotate"
    GATE = "gate"
    ADMIN = "admin"


_USUAL = (Scope.READ, Scope.ANNOTATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A bearer token: its name for people, its secret (or the file that holds it), what it allows and until when."""

    __pydantic_config__: ClassVar = STRICT

    name: str
    token: SecretStr | None = None
    token_file: Path | None = None
    scopes: tuple[Scope, ...] = _USUAL
    expires_at: AwareDatetime | None = None

    def __post_init__(self) -> None:
        if (self.token is None) is (self.token_file is None):
            raise ValueError("exactly one of token and token_file is needed")
        if self.token is not None and not self.token.get_secret_value():
            raise ValueError("an empty token would let everybody in")
        if self.token_file is not None and not self.token_file.is_file():
            raise ValueError("token_file does not exist")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """What a user of the web configuration's `basic_auth_users` may do; one who is not named here may the usual."""

    __pydantic_config__: ClassVar = STRICT

    name: str
    scopes: tuple[Scope, ...] = _USUAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticator:
    """Everything that decides who may: tokens, users with their hashed passwords, and what users may do."""

    tokens: tuple[Token, ...]
    users: tuple[User, ...]
    hashes: Mapping[str, str]
    passwords: Passwords

    async def authorize(self, header: str | None, scope: Scope | None, *, address: str, now: datetime) -> None:
        """Raise Unauthorised, Forbidden or TooMany unless whoever sent this Authorization header may.

        A scope of None is open to everybody, unless the web configuration names users: then each call needs some valid
        credential. Where neither tokens nor users are configured, everybody may read, and only this machine may more.
        """
        if not self.tokens and not self.hashes:
            if scope not in {None, Scope.READ} and not _is_loopback(address):
                raise Unauthorised("no tokens are configured, so that only this machine may do this: configure tokens")
            return
        if scope is None and not self.hashes:
            return
        allowed = await self._scopes(header or "", address, now)
        if allowed is None:
            raise Unauthorised("a token is needed, or a user with a password: Authorization: Bearer TOKEN")
        if scope is not None and not allowed & {scope, Scope.ADMIN}:
            raise Forbidden(f"this needs the scope {scope}")

    async def _scopes(self, header: str, address: str, now: datetime) -> Set[Scope] | None:
        """What the credential allows; None where it is not known. A token may also be sent as a password."""
        kind, _, given = header.partition(" ")
        if kind.lower() == "bearer":
            return await self._of_token(given.strip(), now)
        if kind.lower() != "basic":
            return None
        user, colon, password = _decoded(given).partition(":")
        if not colon:
            return None
        found = await self._of_token(password, now)
        if found is None and self.hashes and await self.passwords.fits(self.hashes, user, password, address):
            named = next((known for known in self.users if known.name == user), User(name=user))
            return frozenset(named.scopes)
        return found

    async def _of_token(self, given: str, now: datetime) -> Set[Scope] | None:
        """As `_of_token`; files of tokens are not read in the event loop."""
        if any(token.token_file is not None for token in self.tokens):
            return await asyncio.to_thread(_of_token, self.tokens, given, now)
        return _of_token(self.tokens, given, now)


def _of_token(tokens: Iterable[Token], given: str, now: datetime) -> Set[Scope] | None:
    """All tokens are compared, each in constant time."""
    secret = given.encode("utf-8", "surrogateescape")
    matches = [token for token in tokens if hmac.compare_digest(_secret(token), secret)]
    valid = [token for token in matches if secret and (token.expires_at is None or now < token.expires_at)]
    return frozenset(scope for token in valid for scope in token.scopes) if valid else None


def _decoded(given: str) -> str:
    try:
        return base64.b64decode(given.strip(), validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        return ""


@lru_cache(1024)
def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _secret(token: Token) -> bytes:
    """What the token says now; nothing that matches where its file has become unreadable or empty."""
    try:
        return (read_secret(token.token, token.token_file) or "").encode()
    except (OSError, UnicodeDecodeError):
        return b""

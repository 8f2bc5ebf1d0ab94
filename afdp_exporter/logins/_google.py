"""Tokens of Google Cloud as its own tools find and renew them."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from google.auth import default, identity_pool
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request
from google.oauth2 import credentials, service_account

from afdp_exporter.errors import CallFailed

_SECONDS = 10.0  # for one token


class Finder:
    """A token of one scope: by a file, or as Google's own tools find it. It blocks."""

    def __init__(self, file: Path | None, scope: str) -> None:
        self._file = file
        self._scope = scope
        self._found: Credentials | None = None

    def forget(self) -> None:
        """Begin anew."""
        self._found = None

    def token(self) -> str:
        """The token, renewed where it is about to end. Raises CallFailed (`login`)."""
        try:
            if self._found is None:
                self._found = default([self._scope])[0] if self._file is None else _of_file(self._file, self._scope)
            if not self._found.valid:
                self._found.refresh(partial(Request(), timeout=_SECONDS))
        except OSError as error:
            raise CallFailed("login", f"google_iam: {self._file} cannot be read: {error.strerror}") from None
        except (GoogleAuthError, ValueError) as error:  # whose words may hold what stands in the file
            retry = getattr(error, "retryable", False)
            raise CallFailed("login", f"google_iam: no token: {type(error).__name__}", again=retry) from None
        return str(self._found.token)


def _of_file(file: Path, scope: str) -> Credentials:
    """The account, workload or user that a file describes, read anew. Raises ValueError for anything else."""
    content = json.loads(file.read_text(encoding="utf-8"))
    kinds: dict[str, Any] = {
        "service_account": service_account.Credentials.from_service_account_info,
        "external_account": identity_pool.Credentials.from_info,
        "authorized_user": credentials.Credentials.from_authorized_user_info,
    }
    kind = content.get("type") if isinstance(content, dict) else None
    if kind not in kinds:
        raise ValueError("neither an account, a workload nor a user")
    found: Credentials = kinds[kind](content, scopes=[scope])
    return found

"""One call to an API of AWS: made once, by botocore and the credentials that it finds for itself."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Any, ClassVar

import botocore.session
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
)
from pydantic import Field

from afdp_exporter.errors import ActionRefused, ActionUnknown
from afdp_exporter.http_config import Address
from afdp_exporter.settings import STRICT, Duration

_NEVER_SENT = (
    ConfigNotFound,
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
)
_SIGNED = {"SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature"}  # they quote what was signed
_RIGHTS = re.compile(
    r"ExpiredToken|RequestExpired|InvalidClientTokenId|InvalidAccessKeyId|UnrecognizedClient|AuthFailure|AccessDenied"
    r"|NotAuthorized|UnauthorizedOperation|MissingAuthenticationToken|InvalidSignature|IncompleteSignature"
    r"|SignatureDoesNotMatch"
)
"""Errors of keys and rights, which are changed while they are in use."""
_SHOWN = 300  # characters of an error


@dataclass(frozen=True, kw_only=True)
class AWS:
    """A region. Credentials are those of the environment, of `profile`, or of the machine, as AWS' own tools find them.

    `url` is another address than AWS' own, such as that of a VPC endpoint.
    """

    __pydantic_config__: ClassVar = STRICT
    service: ClassVar[str]

    region: str
    profile: str | None = None
    url: Address | None = None
    timeout: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(seconds=10)

    async def read(self, operation: str, **params: Any) -> dict[str, Any]:  # noqa: ANN401 - as the operation wants it
        """What an operation answers. Raises ActionRefused for what is not there or wrong, else ActionUnknown."""
        try:
            return await asyncio.to_thread(self._call, operation, params)
        except ClientError as error:
            passes = _status(error) >= 500 or _throttled(error) or _RIGHTS.match(_code(error)) is not None
            kind = ActionUnknown if passes else ActionRefused
            raise kind(f"{operation} answers {_words(error)}") from None
        except BotoCoreError as error:
            raise ActionUnknown(f"{self.service} cannot be read: {type(error).__name__}") from None

    async def listed(
        self,
        operation: str,
        key: str,
        pages: tuple[str, str],
        **params: Any,  # noqa: ANN401
    ) -> list[Any]:
        """What all pages list under a key; `pages` names what asks for the next one, and where an answer names it."""
        found: list[Any] = []
        while True:
            page = await self.read(operation, **params)
            found += page.get(key) or []
            following = page.get(pages[1])
            if not following:
                return found
            params[pages[0]] = following

    async def write(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Call the operation of a request once; a time-out, a broken connection and 5xx leave unknown what was done."""
        try:
            await asyncio.to_thread(self._call, str(request["operation"]), request["params"])
        except ClientError as error:
            if _status(error) < 500:
                raise ActionRefused(f"{self.service} refused with {_words(error)}") from None
            raise ActionUnknown(f"{self.service} answered {_words(error)}, and may have done it") from None
        except _NEVER_SENT as error:
            raise ActionRefused(f"nothing was sent: {type(error).__name__}") from None
        except BotoCoreError as error:
            raise ActionUnknown(
                f"{self.service} gave no answer, and may have done it: {type(error).__name__}"
            ) from None
        return {"status": 200}

    def request(self, operation: str, **params: Any) -> dict[str, Any]:  # noqa: ANN401
        """A request as a plan holds it."""
        return {"service": self.service, "operation": operation, "params": params}

    def _call(self, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        return dict(getattr(self._client, xform_name(operation))(**params))

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401 - botocore makes its classes as it goes
        seconds = self.timeout.total_seconds()
        once = Config(connect_timeout=seconds, read_timeout=seconds, retries={"total_max_attempts": 1})
        session = botocore.session.Session(profile=self.profile)
        return session.create_client(self.service, region_name=self.region, endpoint_url=self.url, config=once)


def names(texts: object, version: str) -> bool:
    """Whether a text, or one of several, names a version as a word of its own, with a `v` before its number or not."""
    bare = re.sub(r"^v(?=\d)", "", version)
    word = re.compile(rf"(?<![\w.])v?{re.escape(bare)}(?!\w|\.\d)")
    return any(word.search(str(text)) for text in (texts if isinstance(texts, list | tuple) else [texts]))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))


def _throttled(error: ClientError) -> bool:
    return "Throttl" in _code(error) or "TooManyRequests" in _code(error)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "an error"))


def _words(error: ClientError) -> str:
    code, text = _code(error), str(error.response.get("Error", {}).get("Message", ""))
    plain = "".join(char if char.isprintable() else " " for char in text)[:_SHOWN]
    return code if code in _SIGNED or not plain else f"{code}: {plain}"

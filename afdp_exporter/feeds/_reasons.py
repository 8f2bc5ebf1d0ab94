"""Why a server could not be reached, in words: never a class's name alone, never an address with its parameters."""

import asyncio

import aiohttp

_WORDS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((TimeoutError, asyncio.IncompleteReadError), "no answer in time"),
    ((aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ConnectionError), "the connection broke off"),
    ((ValueError, KeyError, TypeError, AttributeError), "an answer that is no JSON of this API"),
)


def reason_of(error: BaseException) -> str:
    """The words for an error of a connection."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"no such host: {error.host}"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted: {error.certificate_error}"[:200]
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection: {error.os_error.strerror or error.os_error}"[:200]
    return next((words for kinds, words in _WORDS if isinstance(error, kinds)), type(error).__name__)

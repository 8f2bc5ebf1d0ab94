"""What a browser may be made to send for somebody else: from another page, or under a name that was bound anew."""

from collections.abc import Collection
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from aiohttp import web

from afdp_exporter.errors import AFDPError

_NOT_PUBLIC = {"localhost", "local", "internal", "svc"}  # no stranger owns a name below these
_SAFE_METHODS = {"GET", "HEAD"}
_DOCUMENT = {"document", "empty", ""}


class Misdirected(AFDPError):
    """The request was meant for another host."""


class CrossSite(AFDPError):
    """A page of somebody else has made a browser ask this."""


def check_host(request: web.Request, names: Collection[str]) -> None:
    """Take a request only under an address, a name that no stranger can own, or one of `names`. Raises Misdirected.

    A page whose name was bound anew to our address is of our own origin for the browser; its name gives it away.
    """
    given = request.headers.getall("Host", [])
    if any(not _is_nobodys(each) and _host(each) not in names for each in given):
        raise Misdirected("no name of this exporter: set --web.external-url to the one that people use, or tokens")


def check_page(request: web.Request, external: str | None) -> None:
    """Refuse what a page of another origin makes a browser ask, but for following a link to us. Raises CrossSite.

    Our origin is the host that is asked, or that of the `external` URL.
    """
    headers = request.headers
    site = headers.get("Sec-Fetch-Site", "none")
    if request.method not in _SAFE_METHODS:
        origins = headers.getall("Origin", [])
        if site not in {"none", "same-origin"} or any(not _is_ours(each, request, external) for each in origins):
            raise CrossSite("a page of another origin may not change anything here")
        return
    followed = headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest", "") in _DOCUMENT
    if site == "cross-site" and not followed:
        raise CrossSite("a page of another site may link to this, and not load it")


def _is_ours(origin: str, request: web.Request, external: str | None) -> bool:
    """Behind a proxy that speaks TLS for us a page is https and a request is not."""
    found = _split(origin)
    ours = {request.headers.get("Host"), urlsplit(external).netloc if external else None} - {None}
    return found is not None and found.netloc in ours and found.scheme in {"http", "https"}


def _host(given: str) -> str:
    found = _split(f"//{given}")
    return (found.hostname or "").rstrip(".") if found is not None else ""


def _split(address: str) -> SplitResult | None:
    try:
        return urlsplit(address)
    except ValueError:
        return None


@lru_cache(64)
def _is_nobodys(given: str) -> bool:
    """An address, or a name that no public name server knows: `localhost`, `afdp-exporter`, `afdp.monitoring.svc`."""
    host = _host(given)
    try:
        return bool(ip_address(host.partition("%")[0]))
    except ValueError:
        *above, last = host.split(".")
        return bool(last) and (not above or last in _NOT_PUBLIC)

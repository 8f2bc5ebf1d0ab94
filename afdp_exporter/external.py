"""The address under which people and programs reach the exporter from outside, and the links made of it."""

from dataclasses import dataclass
from urllib.parse import quote, urlsplit


def check_address(url: str) -> str:
    """An address without its last slash that can stand in YAML, in a Go template and in HTML as it is.

    Raises ValueError.
    """
    if not url.startswith(("http://", "https://")) or any(char in "\"'`<>{}[]\\|#?" or char.isspace() for char in url):
        raise ValueError("a plain address such as https://afdp.example.org is expected")
    if not urlsplit(url).hostname:
        raise ValueError("an address with a host such as https://afdp.example.org is expected")
    return url.rstrip("/")


@dataclass(frozen=True, slots=True)
class External:
    """`url` is `--web.external-url`; None where it was not given: then links have no host.

    `route_prefix` is `--web.route-prefix`, the path that requests arrive with where it is another one.
    """

    url: str | None = None
    route_prefix: str | None = None

    @property
    def prefix(self) -> str:
        """The path in front of every link to us, as a browser has it: `/afdp`; empty where there is none."""
        return urlsplit(self.url).path if self.url is not None else self.route_prefix or ""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Every path that a request may have in front of ours."""
        return tuple(dict.fromkeys(("", self.prefix, self.route_prefix or "")))

    @property
    def host(self) -> str:
        """The name in it; empty where there is none."""
        return (urlsplit(self.url).hostname or "") if self.url is not None else ""

    def link(self, path: str) -> str:
        """The address of a path of ours: absolute where the external URL is known."""
        return f"{self.url if self.url is not None else self.prefix}{path}"

    def report(self, deployment_id: str) -> str | None:
        """The page of a deployment, for readers elsewhere; None where the external URL is not known."""
        return self.link(f"/deployments/{quote(deployment_id, safe='')}") if self.url is not None else None

    def own_path(self, path: str) -> str:
        """The path of a request without the prefix."""
        for prefix in self.prefixes:
            if prefix and (path == prefix or path.startswith(f"{prefix}/")):
                return path.removeprefix(prefix) or "/"
        return path or "/"


NOT_KNOWN = External()
"""Without an external URL: links are paths."""

"""What senders send: their own examples, as `examples/` holds them."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from afdp_exporter.settings import build, kinds
from afdp_exporter.webhooks import Webhook

KINDS = kinds("webhooks")


@dataclass(frozen=True)
class Example:
    """A delivery as its sender documents it, and what it announces: fields of each announcement, words of reasons."""

    kind: str
    name: str
    headers: dict[str, str]
    body: bytes
    announced: list[dict[str, Any]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"

    @property
    def webhook(self) -> Webhook:
        """The sender's parser, with the settings of the example."""
        built: Webhook = build("webhooks", self.kind, self.settings, "")
        return built


def examples(kind: str) -> list[Example]:
    """The documented deliveries of a kind."""
    found = []
    for entry in yaml.safe_load((Path(__file__).parent / f"examples/{kind}.yml").read_text()):
        body = entry.pop("body")
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        headers = {name.lower(): str(text) for name, text in entry.pop("headers", {}).items()}
        entry.pop("from", None)
        found.append(Example(kind=kind, body=raw, headers=headers, **entry))
    return found


EXAMPLES = [example for kind in KINDS for example in examples(kind)]

"""Feeds one sender's parser with what atheris thinks of: whatever is not refused by field is a finding.

`scripts/fuzz` runs it for each kind; the examples of the sender are where it starts from.
"""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["afdp_exporter"]):
    from afdp_exporter.errors import BadInput
    from afdp_exporter.model import Announcement
    from afdp_exporter.tracking.mapping import resolve_service
    from afdp_exporter.tracking.merge import merge_announcements, rollouts
    from webhooks.deliveries import examples

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def main() -> None:
    """KIND CORPUS [FLAGS OF LIBFUZZER]."""
    kind, corpus, *flags = sys.argv[1:]
    known = examples(kind)
    folder = Path(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    for index, example in enumerate(known):
        (folder / f"example{index}").write_bytes(bytes([index]) + example.body)
    webhooks = [example.webhook for example in known]

    def one(data: bytes) -> None:
        chosen = data[0] % len(known) if data else 0
        body = data[1:]
        webhook, headers = webhooks[chosen], known[chosen].headers
        webhook.proof.verifies(headers | {"authorization": body[:80].decode("latin-1")}, body, "s3cret", NOON)
        try:
            parsed = webhook.parse(headers, body)
        except BadInput:
            return
        placed = [resolve_service(each, ()) for each in parsed if isinstance(each, Announcement)]
        timed = [replace(each, at=each.at or NOON) for each in placed if isinstance(each, Announcement)]
        for announced in rollouts(timed).values():
            merge_announcements(announced, received_at=NOON)

    atheris.Setup([sys.argv[0], *flags, corpus], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

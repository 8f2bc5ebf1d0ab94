"""A signed POST to a program of one's own, as Standard Webhooks says; its id is the same for each try of a notice."""

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import ClassVar

import orjson
from pydantic import SecretStr
from standardwebhooks import Webhook as Signer

from afdp_exporter.errors import DeliveryError, SecretUnreadable
from afdp_exporter.http_config import read_text
from afdp_exporter.model import Notification
from afdp_exporter.notify._exchange import Exchange
from afdp_exporter.notify._facts import facts


@dataclass(frozen=True, kw_only=True)
class Webhook(Exchange):
    """Posts to `url`, signed with `secret` (`whsec_...`); a file may hold an old and a new one, each on its line."""

    appends: ClassVar[bool] = False

    secret: SecretStr | None = None
    secret_file: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.secret is None) is (self.secret_file is None):
            raise ValueError("exactly one of secret and secret_file is needed")
        if self.secret is not None:
            _signers(self.secret.get_secret_value())

    async def reach(self) -> None:
        """As `Receiver.reach`: there is nothing to ask, so that only the secret is looked at."""
        self._known()

    async def send(self, notice: Notification) -> None:
        """As `Receiver.send`: the whole state each time, which replaces what was reported of the deployment before."""
        known = facts(notice)
        happened = known.get("measured_at") or known.get("finished_at") or known["started_at"]
        body = orjson.dumps({"type": "deployment.updated", "timestamp": happened, "data": known})
        name = f"msg_{hashlib.sha256(body).hexdigest()[:32]}"
        signatures = [signer.sign(name, notice.at.astimezone(UTC), body.decode()) for signer in self._known()]
        signed = {
            "webhook-id": name,
            "webhook-timestamp": str(int(notice.at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        await self.deliver("POST", "", body, more=signed)

    def _known(self) -> list[Signer]:
        try:
            return _signers(read_text(self.secret, self.secret_file))
        except (SecretUnreadable, ValueError) as error:
            raise DeliveryError("secret_file", str(error), retry=True) from None


def _signers(text: str) -> list[Signer]:
    try:
        keys = [base64.b64decode(line.removeprefix("whsec_"), validate=True) for line in text.split()]
    except ValueError:
        keys = []
    if not keys or min(map(len, keys)) < 24:
        raise ValueError("secret is whsec_ and 24 bytes or more in base64")
    return [Signer(key) for key in keys]


PLUGIN = Webhook

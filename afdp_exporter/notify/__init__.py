"""What is sent to other programs. One file a receiver; its name is the kind in the configuration."""

from typing import Protocol

from afdp_exporter.model import Notification


class Receiver(Protocol):
    """Somebody who is informed: a frozen dataclass of settings with these methods.

    One who `appends` cannot change what was sent: it is sent again only when the deployment's status, its outcome,
    or whether its harm goes on has changed.
    """

    @property
    def appends(self) -> bool:
        """Whether each notice stays as it was sent."""
        ...

    async def reach(self) -> None:
        """Show that the receiver is there and knows us; nothing is sent. Raises DeliveryError."""
        ...

    async def send(self, notice: Notification) -> None:
        """Send the latest of a deployment. Called again with the same or a newer notice, it changes what was sent.

        Raises DeliveryError.
        """
        ...

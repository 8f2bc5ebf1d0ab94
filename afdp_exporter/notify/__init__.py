"""What is told to other programs. One file a receiver; its name is the kind in the configuration."""

from typing import Protocol

from afdp_exporter.model import Notice


class Receiver(Protocol):
    """Somebody who is told: a frozen dataclass of settings with these methods."""

    async def reach(self) -> None:
        """Show that the receiver is there and knows us; it is told nothing. Raises DeliveryError."""
        ...

    async def send(self, notice: Notice) -> None:
        """Tell the latest of a deployment. Called again with the same or a newer notice, it changes what was told.

        Raises DeliveryError.
        """
        ...

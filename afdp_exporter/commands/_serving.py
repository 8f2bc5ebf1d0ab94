"""The part of `afdp serve` that loads the whole program."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from afdp_exporter import server
from afdp_exporter.external import External
from afdp_exporter.handlers.connections import passed_on
from afdp_exporter.handlers.web_config import ReloadingWebConfig
from afdp_exporter.store.opening import Opening


def run(
    *,
    config_file: Path,
    addresses: Sequence[tuple[str, int]] | None,
    storage: Opening,
    web_config_file: Path | None,
    external: External,
    connections_of_address: int,
) -> NoReturn:
    """Serve as the flags say; without addresses on the sockets that systemd passes on. Raises ConfigError."""
    server.run(
        server.ServeOptions(
            config_file=config_file,
            addresses=passed_on(os.environ) if addresses is None else addresses,
            storage=storage,
            web_config=ReloadingWebConfig(web_config_file),
            external=external,
            connections_of_address=connections_of_address,
        )
    )

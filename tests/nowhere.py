"""A lab where nobody listens."""

from __future__ import annotations

from pathlib import Path

from brokerlab import access
from brokerlab.machine import write_private


class Nowhere:
    """What a client of a lab is given, and no broker: its file is in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.client = {"bootstrap.servers": "127.0.0.1:1"}
        self.client_file = folder / "client.properties"
        write_private(self.client_file, access.properties(self.client))

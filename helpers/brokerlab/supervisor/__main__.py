"""The process itself: ``python -m brokerlab.supervisor HOME NAME``."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from brokerlab import settings
from brokerlab.errors import LabBusyError
from brokerlab.labfolder import LabFolder
from brokerlab.supervisor.server import Supervisor

log = logging.getLogger(__name__)


def main(argv: list[str]) -> int:
    """Run the supervisor of the lab whose home and name are given."""
    os.umask(0o077)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    folder = LabFolder(Path(argv[0]), argv[1])
    try:
        # Whoever waits for a former supervisor to end has the lock for a moment.
        with folder.lock("supervisor", 1, "supervising this lab") as descriptor:
            asyncio.run(_supervise(folder, descriptor))
    except LabBusyError as error:
        log.warning("%s", error)
    return 0


async def _supervise(folder: LabFolder, lock: int) -> None:
    await Supervisor(folder, settings.read(), lock).run()


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # Not by way of the clients' destructors: librdkafka's has been seen to wait for ever.
    os._exit(code)

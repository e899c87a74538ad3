"""A lab as learners start it; with ``--plain``, the same with Kafka's default flags and no archive."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import brokerlab.lab
import confluent_kafka.admin  # noqa: F401  (so that its import is not timed)
from brokerlab import control, distribution, settings
from brokerlab.errors import NoLabError
from brokerlab.labfolder import LabFolder
from brokerlab.progress import Progress
from conversation import serve

LIMIT = 20.0


def launch_plain_supervisor() -> None:
    """Do what brokerlab.start() does where no supervisor runs, with one that gives nodes default flags."""
    asked = settings.read()
    folder = LabFolder(asked.home)
    distribution.prefetch(asked, Progress())
    folder.create()
    script = Path(__file__).with_name("plain_supervisor.py")
    subprocess.Popen([sys.executable, script, folder.home, folder.name], start_new_session=True)
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            control.status(folder)
            return
        except NoLabError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def main(plain: bool) -> None:
    # The other sides ask for no password either.
    os.environ["BROKERLAB_AUTH"] = "off"
    labs: list[brokerlab.lab.Lab] = []

    def start() -> dict[str, Any]:
        progress = Progress()
        if plain:
            launch_plain_supervisor()
        lab = brokerlab.lab.start(brokers=3, progress=progress)
        labs.append(lab)
        steps = [{"step": step.text, "seconds": step.seconds} for step in progress.steps]
        return {"bootstrap_servers": lab.bootstrap_servers, "steps": steps}

    def kill() -> dict[str, Any]:
        report = labs[-1].brokers[1].kill()
        return {"led": report.led, "new_leaders": report.new_leaders, "said": str(report)}

    def stop() -> None:
        labs.pop().stop()

    serve({"start": start, "kill": kill, "stop": stop})


if __name__ == "__main__":
    main("--plain" in sys.argv[1:])

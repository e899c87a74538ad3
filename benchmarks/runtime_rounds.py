"""The lab on every runtime that is here: what a learner waits for, in the same rounds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import peers
from brokerlab import settings
from brokerlab.errors import DockerError
from brokerlab.runtimes import daemon
from commands import attach, environ_of
from journey import travel, write_to_every_partition
from measure import Figure, samples
from side import Side, SideError

MOST_FIRST_MESSAGE = 1.5
MOST_LEADERLESS_SECONDS = 6.0
MOST_ATTACH_SECONDS = 1.0
STOP_SECONDS = 60.0


@dataclass
class MeasuredRuntime:
    """A runtime, by its name in BROKERLAB_RUNTIME, and what was measured on it, in seconds, a value a round."""

    runtime: str
    name: str
    first_message: list[float] = field(default_factory=list)
    attach_call: list[float] = field(default_factory=list)
    new_leaders: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """Start a lab, read a message, attach, kill a leader, write again.

        Raises
        ------
        SideError
            The lab did not do what it was told.
        TimeoutError
            A message did not get through.
        """
        with _lab(self.runtime) as side:
            journey = travel(side)
            self.first_message.append(journey.first_message)
            call, _ = attach(environ_of(side))
            self.attach_call.append(call)
            killed = side.ask("kill")
            if not killed["led"] or killed["new_leaders"] is None:
                raise SideError(
                    f"{side.name} has killed no leader that others follow: {killed['said']}"
                )
            self.new_leaders.append(killed["new_leaders"])
            write_to_every_partition(journey.bootstrap_servers)
            side.ask("stop")


@contextmanager
def _lab(runtime: str) -> Iterator[Side]:
    with peers.lab(BROKERLAB_RUNTIME=runtime) as side:
        try:
            yield side
        finally:
            # Containers do not end with the processes of their side.
            command = [sys.executable, "-m", "brokerlab.cli", "stop", "--all"]
            subprocess.run(command, env=environ_of(side), capture_output=True, timeout=STOP_SECONDS)


def present() -> list[MeasuredRuntime]:
    """Return the runtimes that can be measured here; say of another one why it is left out."""
    found = [MeasuredRuntime("local", "processes")]
    try:
        daemon.check()
        daemon.find_image(settings.read().image)
    except DockerError as error:
        reason, _, _ = str(error).partition(": ")
        print(f"Containers are left out: {reason}.", flush=True)
    else:
        found.append(MeasuredRuntime("containers", "containers"))
    return found


def figures(measured: Sequence[MeasuredRuntime]) -> list[Figure]:
    """Put every runtime beside the first one, with the bounds; the first one's own rows are in `rounds`."""
    local, *others = measured
    return [
        *(
            Figure(
                f"first message consumed, {one.name}",
                "s",
                samples(one.first_message),
                local.name,
                samples(local.first_message),
                MOST_FIRST_MESSAGE,
            )
            for one in others
        ),
        *(
            Figure(
                f"attach: the call, {one.name}",
                "s",
                samples(one.attach_call),
                bound=MOST_ATTACH_SECONDS,
            )
            for one in others
        ),
        *(
            Figure(
                f"a killed leader, until all it led has another, {one.name}",
                "s",
                samples(one.new_leaders),
                bound=MOST_LEADERLESS_SECONDS,
            )
            for one in measured
        ),
    ]

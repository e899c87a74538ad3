"""Which runtime a lab gets, and why."""

from __future__ import annotations

from brokerlab import distribution
from brokerlab.errors import DockerError
from brokerlab.labfolder import LabFolder
from brokerlab.runtimes import Runtime, daemon
from brokerlab.runtimes.local import LocalRuntime
from brokerlab.settings import Settings


def choose(wanted: str, asked: Settings, folder: LabFolder) -> tuple[Runtime, str]:
    """Return the runtime for the nodes of a lab, and a sentence that says why, if there was a choice.

    ``auto`` means containers only where they start at once: Docker answers and has the image. It never fetches an
    image, since nobody who asked for nothing should wait for some hundred MB.

    Parameters
    ----------
    wanted : str
        One of `settings.RUNTIMES`.

    Raises
    ------
    DockerError
        Containers were asked for, and cannot be had.
    NotFetchedError
        The jars are not in the cache yet, or not the locked ones.
    """
    if wanted == "containers":
        return _containers(asked, folder), ""
    if wanted == "auto" and daemon.is_worth_asking():
        try:
            return (
                _containers(asked, folder),
                f"The nodes are containers, since Docker answers and has {asked.image}",
            )
        except DockerError as error:
            reason, _, _ = str(error).partition(": ")
            why = f"The nodes are processes of this machine, not containers: {reason}"
    else:
        why = ""
    return LocalRuntime(distribution.installed(asked, verify=True)), why


def _containers(asked: Settings, folder: LabFolder) -> Runtime:
    daemon.check()
    image = daemon.find_image(asked.image)
    from brokerlab.runtimes.containers import ContainerRuntime

    return ContainerRuntime(folder, image)


def sweep(folder: LabFolder) -> None:
    """Remove what a supervisor that died has left in Docker, if it had anything there.

    Raises
    ------
    DockerError
        The daemon does not answer.
    """
    if folder.containers_mark.exists():
        from brokerlab.runtimes import containers

        containers.sweep(folder)

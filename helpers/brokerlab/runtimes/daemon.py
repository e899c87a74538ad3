"""The Docker daemon of this machine: whether it answers, which image it has; each trouble is one sentence."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brokerlab.errors import DockerError, ImageNotFetchedError
from brokerlab.progress import Progress

SOCKET = "unix:///var/run/docker.sock"
ANSWER_SECONDS = 3.0
WORK_SECONDS = 60.0
REGISTRY_SECONDS = 8.0
STALL_SECONDS = 60.0

LOCALLY = "or set BROKERLAB_RUNTIME=local"


@dataclass(frozen=True)
class Image:
    """An image that the daemon has.

    Attributes
    ----------
    name : str
        As it was asked for.
    id : str
        The daemon's own name for exactly this image.
    digest : str
        The registry's name for it; `id` where it came from none.
    """

    name: str
    id: str
    digest: str

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def is_worth_asking() -> bool:
    """Whether anything here points to Docker; costs nothing where there is none."""
    if os.environ.get("DOCKER_HOST") or Path(SOCKET.removeprefix("unix://")).exists():
        return True
    with contextlib.suppress(OSError, RuntimeError):
        return "currentContext" in (Path.home() / ".docker" / "config.json").read_text("utf-8")
    return False


def check(otherwise: str = LOCALLY) -> None:
    """Make sure that a daemon of this machine answers.

    Parameters
    ----------
    otherwise : str
        How the sentence goes on after what to do with the daemon.

    Raises
    ------
    DockerError
        None does.
    """
    address = _address()
    if not address.startswith("unix://"):
        raise DockerError(
            f"Docker is asked for at {address!r}, perhaps another machine, where the lab's ports would not be on this one: "
            f"point DOCKER_HOST or `docker context use` to a daemon of this machine, {otherwise}."
        )
    path = address.removeprefix("unix://")
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(path)
    except PermissionError:
        raise DockerError(
            f"This user may not use Docker's socket {path}: ask for the group docker (`sudo usermod -aG docker $USER`, then log in again), {otherwise}."
        ) from None
    except OSError:
        if shutil.which("docker") is None and not Path(path).exists():
            raise DockerError(f"No Docker is on this machine: install it, {otherwise}.") from None
        raise DockerError(
            f"The Docker daemon does not run (nobody listens on {path}): start it, {otherwise}."
        ) from None
    _check_answers(address, otherwise)


def _check_answers(address: str, otherwise: str) -> None:
    import docker
    from docker.errors import DockerException
    from requests import RequestException

    try:
        with contextlib.closing(
            docker.APIClient(base_url=address, timeout=ANSWER_SECONDS)
        ) as daemon:
            daemon.ping()
    except (DockerException, RequestException):
        raise DockerError(
            f"The Docker daemon does not answer within {ANSWER_SECONDS:.0f} s: restart it, {otherwise}."
        ) from None


def _address() -> str:
    from testcontainers.core.docker_client import get_docker_host

    return get_docker_host() or SOCKET


def client() -> Any:
    """Return a docker-py client of the daemon that testcontainers uses."""
    from testcontainers.core.docker_client import DockerClient

    return DockerClient(timeout=WORK_SECONDS).client


@contextlib.contextmanager
def told(otherwise: str = LOCALLY) -> Iterator[None]:
    """Say in one sentence what went wrong with the daemon inside the block.

    Raises
    ------
    DockerError
        It does not answer, or it refused.
    """
    from docker.errors import DockerException
    from requests import RequestException

    try:
        yield
    except (DockerException, RequestException) as error:
        check(otherwise)
        raise DockerError(
            f"Docker refused with {_reason(error)!r}: see `docker info`, {otherwise}."
        ) from None


def _reason(error: Exception) -> str:
    text = str(getattr(error, "explanation", None) or error).strip() or type(error).__name__
    return text.splitlines()[0][:300]


def find_image(name: str) -> Image:
    """Return the image of this name.

    Raises
    ------
    ImageNotFetchedError
        The daemon does not have it.
    DockerError
        The daemon does not answer.
    """
    from docker.errors import ImageNotFound

    with told():
        try:
            found = client().images.get(name)
        except ImageNotFound:
            raise ImageNotFetchedError(
                f"Docker has no image {name} yet: run `docker pull {name}`, {LOCALLY}."
            ) from None
        digests = [text.partition("@")[2] for text in found.attrs.get("RepoDigests") or ()]
        return Image(name, found.id, next(filter(None, digests), found.id))


def pull(name: str, progress: Progress) -> None:
    """Fetch an image from its registry.

    Raises
    ------
    DockerError
        It could not be fetched.
    """
    check()
    layers: dict[str, tuple[int, int]] = {}
    with progress.step(f"Docker fetches the image {name}, some hundred MB, once") as advance:
        for event in _pulling(name):
            detail = event.get("progressDetail") or {}
            # Each layer comes down first and is then unpacked, with the same fields.
            if event.get("status") == "Downloading" and detail.get("total"):
                layers[event["id"]] = (detail["current"], detail["total"])
                done, size = map(sum, zip(*layers.values(), strict=True))
                advance(done / size)


def _pulling(name: str) -> Iterator[dict[str, Any]]:
    """Yield the events of a pull, whose requests docker-py itself would wait for without a limit."""
    from docker.errors import DockerException
    from docker.utils import parse_repository_tag
    from requests import RequestException

    events: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def listen() -> None:
        repository, tag = parse_repository_tag(name)
        try:
            pulled = client().api.pull(repository, tag or "latest", stream=True, decode=True)
            for event in pulled:
                events.put(event)
            events.put(None)
        except (DockerException, RequestException) as error:
            events.put({"error": _reason(error)})

    threading.Thread(target=listen, daemon=True).start()
    patience = REGISTRY_SECONDS
    while True:
        try:
            event = events.get(timeout=patience)
        except queue.Empty:
            raise _not_pullable(name, f"its registry is silent for {patience:.0f} s") from None
        patience = STALL_SECONDS
        if event is None:
            return
        if "error" in event:
            raise _not_pullable(name, str(event["error"]))
        yield event


def _not_pullable(name: str, reason: str) -> DockerError:
    return DockerError(
        f"The image {name} cannot be fetched ({reason}): check the network, set BROKERLAB_IMAGE to an image that this machine has or can reach, {LOCALLY}."
    )

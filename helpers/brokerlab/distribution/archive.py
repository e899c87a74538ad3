"""The class-data archive: Kafka's classes, parsed once and then mapped into every JVM that starts.

The list of classes comes with the package, so that nobody has to run a cluster to learn it; the archive
itself fits one Java runtime and one list of jars, and is made on the machine that uses it.
"""

from __future__ import annotations

import gzip
import hashlib
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from brokerlab.distribution.files import scratch_file, sha256
from brokerlab.distribution.java import ARCHIVE_FLAGS, JAVA, class_path, java_environment

CLASS_LIST = Path(__file__).with_name("classes.txt.gz")
DUMP_SECONDS = 180.0
SIZE = 70_000_000
"""Bytes that an archive takes, roughly."""
KEPT = 2


def archive_path(folder: Path, jars: Sequence[Path]) -> Path:
    """Return where the archive of these jars and this Java lies, whether or not it is there.

    A JVM refuses an archive whose jars have moved or changed since, which it tells by path, size and
    time of change; the same make the name, so that a moved cache gets an archive of its own.
    """
    runtime = JAVA.parent.parent
    key = hashlib.sha256(CLASS_LIST.read_bytes())
    key.update((runtime / "release").read_bytes())
    key.update(f"{(runtime / 'lib' / 'modules').stat().st_size} {ARCHIVE_FLAGS}".encode())
    for jar in jars:
        status = jar.stat()
        key.update(f"{jar} {status.st_size} {int(status.st_mtime)}\n".encode())
    return folder / f"{key.hexdigest()[:16]}.jsa"


def is_sound(archive: Path, *, verify: bool) -> bool:
    """Tell whether the archive is there and, with `verify`, still what was made.

    Java itself notices a cut file and a foreign one, and not a flipped byte in the middle.
    """
    if not verify or not archive.exists():
        return archive.exists()
    try:
        return _digest(archive).read_text("ascii") == sha256(archive)
    except OSError:
        return False


def make_archive(archive: Path, jars: Sequence[Path]) -> bool:
    """Make the archive; tell whether it worked, since a lab runs without one too."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as scratch:
        classes = scratch.enter_context(scratch_file(archive.with_suffix(".classes")))
        made = scratch.enter_context(scratch_file(archive))
        classes.write_bytes(gzip.decompress(CLASS_LIST.read_bytes()))
        dump = [
            str(JAVA),
            *ARCHIVE_FLAGS,
            "-Xmx512m",
            "-Xshare:dump",
            "-Xlog:disable",
            f"-XX:SharedClassListFile={classes}",
            f"-XX:SharedArchiveFile={made}",
            "-cp",
            class_path(jars),
        ]
        try:
            subprocess.run(
                dump,
                env=java_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=DUMP_SECONDS,
                check=True,
            )
            _digest(archive).write_text(sha256(made), "ascii")
        except (subprocess.SubprocessError, OSError):
            return False
        made.replace(archive)
    _remove_older(archive)
    return True


def _digest(archive: Path) -> Path:
    return archive.with_suffix(".sha256")


def _remove_older(newest: Path) -> None:
    """Keep one other: two environments with different Java runtimes may share a cache."""
    others = [file for file in newest.parent.glob("*.jsa") if file != newest]
    others.sort(key=lambda file: file.stat().st_mtime, reverse=True)
    for old in others[KEPT - 1 :]:
        old.unlink(missing_ok=True)
        _digest(old).unlink(missing_ok=True)

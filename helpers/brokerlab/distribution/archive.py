"""The class-data archive: Kafka's classes, parsed once, mapped into every JVM that starts.

The list of classes comes with the package, so that nobody has to run a cluster to learn it; the archive
itself belongs to one Java runtime and one list of jars, and is made on the machine that uses it.
"""

from __future__ import annotations

import gzip
import hashlib
import subprocess
from contextlib import ExitStack
from pathlib import Path

from brokerlab.distribution.files import scratch_file
from brokerlab.distribution.java import ARCHIVE_FLAGS, JAVA, class_path, java_environment

CLASS_LIST = Path(__file__).with_name("classes.txt.gz")
DUMP_SECONDS = 180.0
ROUGH_SIZE = 70_000_000
KEPT = 3


def archive_path(folder: Path, jars: tuple[Path, ...]) -> Path:
    """Return where the archive of these jars and this Java lies, whether or not it is there.

    A JVM takes an archive only with the very files that it was made of, which it tells by size and
    time of change: so does the name.
    """
    key = hashlib.sha256(" ".join(ARCHIVE_FLAGS).encode())
    key.update(CLASS_LIST.read_bytes())
    for file in (JAVA.parent.parent / "lib" / "modules", *jars):
        status = file.stat()
        key.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return folder / f"{key.hexdigest()[:16]}.jsa"


def make_archive(target: Path, jars: tuple[Path, ...]) -> bool:
    """Make the archive; tell whether it worked, since a lab runs without one too."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as files:
        classes = files.enter_context(scratch_file(target.with_suffix(".classes")))
        partial = files.enter_context(scratch_file(target))
        classes.write_bytes(gzip.decompress(CLASS_LIST.read_bytes()))
        command = [
            str(JAVA),
            *ARCHIVE_FLAGS,
            "-Xshare:dump",
            "-Xlog:disable",
            f"-XX:SharedClassListFile={classes}",
            f"-XX:SharedArchiveFile={partial}",
            "-cp",
            class_path(jars),
        ]
        try:
            subprocess.run(
                command,
                env=java_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=DUMP_SECONDS,
                check=True,
            )
        except (subprocess.SubprocessError, OSError):
            return False
        if not partial.exists():
            return False
        partial.replace(target)
    _remove_older_archives(target)
    return True


def _remove_older_archives(newest: Path) -> None:
    """Keep a few archives, for environments that share the cache and differ in their Java."""
    others = [file for file in newest.parent.glob("*.jsa") if file != newest]
    others.sort(key=lambda file: file.stat().st_mtime, reverse=True)
    for old in others[KEPT - 1 :]:
        old.unlink(missing_ok=True)

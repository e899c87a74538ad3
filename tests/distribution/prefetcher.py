"""A process that prefetches by a lock of small jars: ``python prefetcher.py LOCK``.

It begins when a line comes in, and says each step as it begins; archives are stood in for.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from brokerlab import settings
from brokerlab.distribution import installation, jars
from brokerlab.errors import BrokerLabError
from brokerlab.progress import Progress


class Said(Progress):
    """Prints each step when it begins."""

    def begin(self, text: str) -> None:
        super().begin(text)
        print(text, flush=True)


def make_archive(archive: Path, jars: object) -> bool:
    archive.parent.mkdir(exist_ok=True)
    archive.write_bytes(b"archive")
    archive.with_suffix(".sha256").write_text(hashlib.sha256(b"archive").hexdigest())
    return True


if __name__ == "__main__":
    jars.LOCK = Path(sys.argv[1])
    installation.make_archive = make_archive
    asked = settings.read()
    print("here", flush=True)
    sys.stdin.readline()
    try:
        found = installation.prefetch_all(asked, Said())
    except BrokerLabError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(f"{len(found.jars)} jars, archive: {found.archive is not None}")

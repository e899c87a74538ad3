"""Which exercises have passed on this machine, and when: one small file each, which stays here.

::

    BROKERLAB_HOME/progress/04_topics-1     the time of the first pass, in UTC

A file for each pass needs no lock: two kernels never change the same record, and one that is damaged
spoils no other.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from brokerlab import settings
from brokerlab.errors import BrokerLabError, ResourceError
from brokerlab.machine import make_private_folder

_NAME = re.compile(r"(\d\d_\w+)-(\d+)")


@dataclass(frozen=True)
class Passes:
    """What has passed.

    Attributes
    ----------
    times : dict of (str, int) to datetime.datetime
        When each exercise first passed, in UTC, by the lesson's name and the exercise's number.
    problem : str
        A sentence for the learner when something could not be read, else empty.
    """

    times: dict[tuple[str, int], datetime]
    problem: str = ""


def record(lesson: str, number: int) -> None:
    """Keep that an exercise has passed; of several times the first is kept.

    Raises
    ------
    BrokerLabError
        It could not be kept; the sentence says why.
    """
    home = settings.read().home
    folder = home / "progress"
    for each in (home, folder):
        make_private_folder(each, "BROKERLAB_HOME")
    file = folder / f"{lesson}-{number}"
    try:
        if _time_in(file) is None:
            _write(file, f"{datetime.now(UTC).isoformat(timespec='seconds')}\n")
    except OSError as error:
        raise ResourceError(
            f"The file {file} cannot be written ({error.strerror}): make room for it, or set BROKERLAB_HOME to another folder."
        ) from None


def read() -> Passes:
    """Return what has passed; what cannot be read is told in one sentence and left out."""
    times, damaged = {}, []
    try:
        folder = settings.read().home / "progress"
        for file in sorted(folder.iterdir()) if folder.exists() else []:
            if name := _NAME.fullmatch(file.name):
                if when := _time_in(file):
                    times[name[1], int(name[2])] = when
                else:
                    damaged.append(f"exercise {name[2]} of {name[1]}")
    except BrokerLabError as trouble:
        return Passes(times, str(trouble))
    except OSError as error:
        return Passes(
            times,
            f"What has passed cannot be read from {folder} ({error.strerror}): make it readable, or set BROKERLAB_HOME to another folder.",
        )
    if not damaged:
        return Passes(times)
    return Passes(times, f"The record of {', '.join(damaged)} is damaged: check it again.")


def _time_in(file: Path) -> datetime | None:
    """Return the time in a record, or None when there is none that makes sense."""
    try:
        when = datetime.fromisoformat(file.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return None
    return when if when.tzinfo else None


def _write(file: Path, text: str) -> None:
    """Write a file whole or not at all, for its owner alone."""
    descriptor, draft = tempfile.mkstemp(prefix=".", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(text)
        Path(draft).replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            Path(draft).unlink()
        raise

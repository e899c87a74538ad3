"""Files of the cache: written whole or not at all, and the operating system's refusals in a sentence."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from brokerlab.errors import ResourceError

PARTIAL = ".part"

_UNWRITABLE = frozenset(
    {
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ENAMETOOLONG,
    }
)


def sha256(file: Path) -> str:
    """Return the hexadecimal digest of a file's content."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextmanager
def scratch_file(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write and then rename; nothing stays there afterwards."""
    partial = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}")
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def remove_partial_files(folder: Path) -> None:
    """Remove what a killed process left; for the holder of the cache's lock only."""
    for partial in folder.rglob(f".*{PARTIAL}"):
        partial.unlink(missing_ok=True)


def write_whole(target: Path, content: bytes) -> None:
    """Write a file that is there with all of its content, on the disk, or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_file(target) as part:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)


@contextmanager
def refusals(full: str, unwritable: str) -> Iterator[None]:
    """Turn the operating system's refusal to write into a sentence.

    Parameters
    ----------
    full : str
        The sentence for a full disk.
    unwritable : str
        The sentence for a place that cannot be written; ``{reason}`` in it is the system's.

    Raises
    ------
    ResourceError
        With one of them.
    """
    try:
        yield
    except OSError as refusal:
        if refusal.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(full) from refusal
        if refusal.errno in _UNWRITABLE:
            raise ResourceError(unwritable.replace("{reason}", str(refusal.strerror))) from refusal
        raise


def writing(cache: Path) -> AbstractContextManager[None]:
    """Turn the operating system's refusal to write into the cache into a sentence.

    Raises
    ------
    ResourceError
        The disk is full, or the folder cannot be written.
    """
    return refusals(
        f"The disk of {cache} is full: free some space, or set BROKERLAB_CACHE to a folder on "
        "another disk, and try again (what was fetched is kept).",
        f"The cache folder {cache} cannot be written ({{reason}}): set BROKERLAB_CACHE to a folder "
        "of yours, or have its owner run `brokerlab prefetch`.",
    )


def require_space(cache: Path, needed: int) -> None:
    """Refuse early when the disk of the cache lacks `needed` bytes.

    Raises
    ------
    ResourceError
        With both figures.
    """
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise ResourceError(
            f"The cache needs {needed / 1e6:.0f} MB more and the disk of {cache} has "
            f"{free / 1e6:.0f} MB free: free some space, or set BROKERLAB_CACHE to a folder on "
            "another disk."
        )

"""A bundle: all locked jars in one tar file, the same to the byte wherever and whenever it is written.

Nothing is unpacked from one as an archive says. A bundle's entries are known beforehand, by our own list
of jars: an entry that is none of them, or has another size or type, ends the reading, and where a jar
goes is told by our list.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from brokerlab.distribution.files import refusals, scratch_file, write_whole, writing
from brokerlab.distribution.jars import Jar, all_locked, lock_text, parse_lock
from brokerlab.errors import DownloadError, SettingError

SUFFIX = ".tar"
TOP = "brokerlab-jars"
LISTING = f"{TOP}/jars.txt"
LARGEST_LISTING = 1 << 16
_BLOCK = tarfile.BLOCKSIZE


class _EarlyEndError(Exception):
    """There are fewer bytes than were to be read."""


class _ForeignError(Exception):
    """There is something that `write_bundle` does not write."""


def bundle_size() -> int:
    """Return the bytes of a bundle."""
    contents = [len(_listing()), *(jar.size for jar in all_locked())]
    blocks = sum(1 + _padded(size) // _BLOCK for size in contents) + 2
    return -(-blocks * _BLOCK // tarfile.RECORDSIZE) * tarfile.RECORDSIZE


def check_target(file: Path) -> None:
    """Refuse early what cannot become a bundle.

    Raises
    ------
    SettingError
        The name does not end in ``.tar``, is a folder's, or lies in no folder.
    """
    # Not Path.is_dir, which raises what the operating system refuses: writing says it in a sentence.
    if os.path.isdir(file):  # noqa: PTH112
        raise SettingError(f"{file} is a folder: give the bundle the name of a file.")
    if file.suffix != SUFFIX:
        raise SettingError(
            f"{file} does not end in {SUFFIX}, by which an address of a bundle is told from one of a "
            f"repository: name it {file.with_suffix(SUFFIX).name}."
        )
    if not os.path.isdir(file.parent):  # noqa: PTH112
        raise SettingError(f"There is no folder {file.parent}: create it, or name another.")


def write_bundle(file: Path, repository: Path, advance: Callable[[float], None]) -> None:
    """Write a bundle, whole or not at all; one that is there is replaced.

    Parameters
    ----------
    file : pathlib.Path
        What to write.
    repository : pathlib.Path
        A folder with every locked jar, laid out as a Maven repository.
    advance : callable
        Takes the fraction that is written, 0 to 1.

    Raises
    ------
    ResourceError
        The disk is full, or the folder cannot be written.
    DownloadError
        A jar is not, or no longer, what was locked.
    """
    jars = all_locked()
    whole = sum(jar.size for jar in jars)
    written = 0
    full = f"The disk of {file} is full: free some space, or write the bundle to another disk."
    unwritable = f"{file} cannot be written ({{reason}}): write the bundle to a folder of yours."
    with refusals(full, unwritable), scratch_file(file) as part:
        with part.open("wb") as out:
            with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                _add(tar, LISTING, _listing())
                for jar in jars:
                    _add(tar, _entry(jar), _content(jar, repository / jar.path))
                    written += jar.size
                    advance(written / whole)
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)


def unpack(chunks: Iterable[bytes], wanted: Sequence[Jar], folder: Path, name: str) -> None:
    """Take `wanted` out of a bundle into `folder`, laid out as a Maven repository.

    Each jar is compared with its SHA-256 before it is written; what came before a failure stays.

    Parameters
    ----------
    chunks : iterable of bytes
        The bundle from its beginning; no more of it is read than is needed.
    wanted : sequence of Jar
        Locked jars.
    folder : pathlib.Path
        The cache's repository.
    name : str
        How sentences call the bundle.

    Raises
    ------
    DownloadError
        It is no bundle, one for other jars, cut, damaged, or a jar is not what was locked.
    ResourceError
        The disk is full or the folder cannot be written.
    """
    stream = _Stream(chunks)
    try:
        listing = _listing_of(stream)
    except (_EarlyEndError, _ForeignError):
        raise DownloadError(
            f"{name} is not a bundle: give what `brokerlab bundle` has written; if a web server "
            "sent it, a log-in page may have come instead."
        ) from None
    if listing != list(all_locked()):
        raise DownloadError(
            f"{name} was made by a version of BrokerLab that needs other jars than this one: make "
            "it again with `brokerlab bundle` of this version."
        )
    try:
        _take(stream, set(wanted), folder, name)
    except _EarlyEndError:
        raise DownloadError(
            f"{name} ends too early: copy it again, all of it (what had come whole is kept)."
        ) from None
    except _ForeignError:
        raise DownloadError(
            f"{name} has been damaged or changed: copy it again, or make it again with "
            "`brokerlab bundle`."
        ) from None


def _take(stream: _Stream, wanted: set[Jar], folder: Path, name: str) -> None:
    to_come = {_entry(jar): jar for jar in all_locked()}
    while wanted:
        entry, size = stream.header()
        jar = to_come.pop(entry, None)
        if jar is None or size != jar.size:
            raise _ForeignError
        content = stream.content(size)
        if jar not in wanted:
            continue
        if hashlib.sha256(content).hexdigest() != jar.sha256:
            raise DownloadError(
                f"{jar.name} in {name} is not the jar that was locked (its SHA-256 differs), so it "
                "was thrown away: copy the bundle again, or make it again with `brokerlab bundle`."
            )
        with writing(folder):
            write_whole(folder / jar.path, content)
        wanted.discard(jar)


def _listing_of(stream: _Stream) -> list[Jar]:
    entry, size = stream.header()
    if entry != LISTING or size > LARGEST_LISTING:
        raise _ForeignError
    try:
        return parse_lock(stream.content(size).decode())
    except ValueError:
        raise _ForeignError from None


class _Stream:
    """The entries of a tar file that comes in chunks."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks: Iterator[bytes] = iter(chunks)
        self._held = bytearray()

    def header(self) -> tuple[str, int]:
        """Return the name and the size of the next entry, which must be a plain file."""
        try:
            info = tarfile.TarInfo.frombuf(self._read(_BLOCK), "utf-8", "strict")
        except (tarfile.HeaderError, ValueError):
            raise _ForeignError from None
        if info.type != tarfile.REGTYPE or info.size < 0:
            raise _ForeignError
        return info.name, info.size

    def content(self, size: int) -> bytes:
        return self._read(_padded(size))[:size]

    def _read(self, size: int) -> bytes:
        while len(self._held) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise _EarlyEndError
            self._held += chunk
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _listing() -> bytes:
    return lock_text(all_locked()).encode()


def _entry(jar: Jar) -> str:
    return f"{TOP}/maven/{jar.path}"


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _content(jar: Jar, path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    if hashlib.sha256(content).hexdigest() != jar.sha256:
        raise DownloadError(
            f"{path} changed while the bundle was written: run `brokerlab bundle` again."
        )
    return content

"""Where jars can come from, and which of these an option means."""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from brokerlab.distribution import bundle
from brokerlab.distribution.fetch import fetch, maven_repository
from brokerlab.distribution.files import write_whole, writing
from brokerlab.distribution.jars import Jar
from brokerlab.distribution.transfer import CHUNK, Server, Transfer, shown, transfer
from brokerlab.errors import DownloadError, SettingError

OPTION = "--from"


class Source(Protocol):
    """Somewhere that has jars."""

    @property
    def origin(self) -> str:
        """How a step that takes from it ends: nothing, or `` from SOMEWHERE``."""

    def take(self, jars: Sequence[Jar], folder: Path, advance: Callable[[float], None]) -> None:
        """Put `jars` into `folder`, laid out as a Maven repository, each verified before it is there.

        Parameters
        ----------
        jars : sequence of Jar
            What is missing.
        folder : pathlib.Path
            The cache's repository.
        advance : callable
            Takes the fraction that is done, 0 to 1.

        Raises
        ------
        DownloadError
            Not all of them can be had there; what could is kept.
        ResourceError
            The disk is full or the folder cannot be written.
        """


def find(text: str) -> Source:
    """Return the source that a path or an address means.

    An address that ends in ``.tar`` is a bundle's, any other a Maven repository's.

    Raises
    ------
    SettingError
        It means nothing: there is no such file, or the address is of a kind that is not fetched from.
    """
    if not text:
        raise SettingError(
            f"`{OPTION}` was given nothing: give it the path of a bundle or a folder, or an address."
        )
    if re.match(r"https?://", text):
        return _on_the_web(text)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise SettingError(
            f"{OPTION} {text} is neither http:// nor https://: give such an address, or the path of "
            "a bundle or a folder on this machine."
        )
    path = Path(text)
    with suppress(RuntimeError):
        path = path.expanduser()
    path = path.absolute()
    try:
        mode = path.stat().st_mode
    except PermissionError as refusal:
        raise _unreadable(path, refusal) from None
    except (OSError, ValueError):
        mode = 0
    if stat.S_ISDIR(mode):
        return _Folder(path)
    if stat.S_ISREG(mode):
        return _BundleFile(path)
    raise SettingError(
        f"There is no bundle and no folder {path}: give the path of one, or an http:// or https:// "
        "address."
    )


def _on_the_web(address: str) -> Source:
    try:
        parts = urlsplit(address)
    except ValueError:
        raise SettingError(
            f"{OPTION} {address} is no address: write it as in http://teacher.example:8000/jars.tar."
        ) from None
    if not parts.hostname:
        raise SettingError(f"{OPTION} {address} names no host: give the whole address.")
    if parts.path.endswith(bundle.SUFFIX):
        return _WebBundle(address)
    return Repository(maven_repository(address.rstrip("/"), OPTION), f" from {shown(address)}")


@dataclass(frozen=True)
class Repository:
    """A Maven repository on the web: Maven Central, a mirror, or what `--from` was given."""

    server: Server
    origin: str = ""

    def take(self, jars: Sequence[Jar], folder: Path, advance: Callable[[float], None]) -> None:
        fetch(jars, folder, self.server, advance)


@dataclass(frozen=True)
class _WebBundle:
    address: str

    @property
    def origin(self) -> str:
        return f" from {shown(self.address)}"

    def take(self, jars: Sequence[Jar], folder: Path, advance: Callable[[float], None]) -> None:
        name = shown(self.address)
        server = Server(
            self.address,
            name,
            f"check the address that {OPTION} was given, and that the bundle is there",
            f"{name} cannot be reached: check the address, the network, and that the server runs.",
        )

        def attempt(shared: Transfer) -> None:
            left = [jar for jar in jars if not jar.is_whole(folder / jar.path, verify=True)]
            with shared.open("", "the bundle") as response:
                chunks = shared.chunks(response, "the bundle")
                bundle.unpack(chunks, left, folder, f"What came from {name}")

        transfer(server, [attempt], bundle.bundle_size(), advance)


@dataclass(frozen=True)
class _OnThisMachine:
    path: Path

    @property
    def origin(self) -> str:
        return f" from {self.path}"


class _BundleFile(_OnThisMachine):
    def take(self, jars: Sequence[Jar], folder: Path, advance: Callable[[float], None]) -> None:
        bundle.unpack(self._chunks(advance), jars, folder, str(self.path))

    def _chunks(self, advance: Callable[[float], None]) -> Iterator[bytes]:
        size = bundle.bundle_size()
        come = 0
        with _reading(self.path), self.path.open("rb") as file:
            while chunk := file.read(CHUNK):
                come += len(chunk)
                advance(come / size)
                yield chunk


class _Folder(_OnThisMachine):
    """A folder: a Maven repository, a filled cache, or a bundle that was unpacked."""

    def take(self, jars: Sequence[Jar], folder: Path, advance: Callable[[float], None]) -> None:
        lacking = []
        for number, jar in enumerate(jars, 1):
            content = self._content(jar)
            if content is None:
                lacking.append(jar)
                continue
            with writing(folder):
                write_whole(folder / jar.path, content)
            advance(number / len(jars))
        if len(lacking) == len(jars):
            raise DownloadError(
                f"{self.path} has none of the {len(jars)} jars that the cache lacks: give the file of "
                "a bundle, a filled cache, or a folder that is laid out as a Maven repository."
            )
        if lacking:
            raise DownloadError(
                f"{len(lacking)} of the {len(jars)} jars that the cache lacks are missing or damaged "
                f"in {self.path} ({lacking[0].name} is one): fill it again, with `brokerlab prefetch` "
                "where it was filled, or run `brokerlab prefetch` here with a network (what was there "
                "is kept)."
            )

    def _content(self, jar: Jar) -> bytes | None:
        for path in (self.path / "maven" / jar.path, self.path / jar.path):
            if jar.is_whole(path, verify=False):
                with _reading(path):
                    content = path.read_bytes()
                if hashlib.sha256(content).hexdigest() == jar.sha256:
                    return content
        return None


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as refusal:
        raise _unreadable(path, refusal) from refusal


def _unreadable(path: Path, refusal: OSError) -> DownloadError:
    return DownloadError(
        f"{path} cannot be read ({refusal.strerror}): have its permissions changed, or copy it again."
    )

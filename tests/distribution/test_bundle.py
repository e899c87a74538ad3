"""Writing all jars into one file, and what becomes of such a file on its way."""

from __future__ import annotations

import gzip
import io
import os
import random
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from brokerlab.distribution import bundle, files, installed, write_bundle
from brokerlab.distribution import jars as lock
from brokerlab.distribution.installation import prefetch_all
from brokerlab.distribution.jars import Jar
from brokerlab.errors import DownloadError, ResourceError, SettingError
from brokerlab.progress import Progress, Step
from brokerlab.settings import Settings
from maven_repository import MavenServer, content_of
from mounts import read_only, small_disk

Lock = dict[str, tuple[Jar, ...]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "stick" / "jars.tar"


@pytest.fixture
def written(settings: Settings, file: Path, tmp_path: Path) -> Path:
    """A bundle, from a cache that nobody else uses."""
    file.parent.mkdir()
    write_bundle(replace(settings, cache=tmp_path / "teacher"), Progress(), file)
    return file


@pytest.fixture
def offline(settings: Settings, repository: MavenServer, written: Path) -> Settings:
    """An empty cache, and a network that must not be asked."""
    repository.content.clear()
    repository.requests.clear()
    return settings


def take(settings: Settings, file: Path) -> None:
    prefetch_all(settings, Progress(), str(file))


def in_cache(settings: Settings) -> set[str]:
    """Names of the jars in the cache, each of which must be whole; nothing else may be there."""
    found = {path for path in (settings.cache / "maven").rglob("*") if path.is_file()}
    jars = {settings.cache / "maven" / jar.path: jar for jar in lock.all_locked()}
    assert found <= set(jars)
    assert all(jars[path].is_whole(path, verify=True) for path in found)
    return {path.name for path in found}


def everything() -> set[str]:
    return {jar.name for jar in lock.all_locked()}


# -- writing ------------------------------------------------------------------------------------------


def test_a_bundle_is_the_same_to_the_byte_wherever_it_is_written(
    settings: Settings, written: Path, tmp_path: Path
) -> None:
    other = replace(settings, cache=tmp_path / "another place")
    for path in prefetch_all(other, Progress()).jars:
        os.utime(path, (0, 0))
        path.chmod(0o600)
    again = tmp_path / "again.tar"
    assert write_bundle(other, Progress(), again) == len(everything())
    assert again.read_bytes() == written.read_bytes()
    assert written.stat().st_size == bundle.bundle_size()


def test_a_bundle_is_an_ordinary_tar_file(written: Path) -> None:
    with tarfile.open(written) as tar:
        entries = tar.getmembers()
        listing = tar.extractfile("brokerlab-jars/jars.txt")
        assert listing
        assert lock.parse_lock(listing.read().decode()) == list(lock.all_locked())
    jars = [f"brokerlab-jars/maven/{jar.path}" for jar in lock.all_locked()]
    assert [entry.name for entry in entries] == ["brokerlab-jars/jars.txt", *jars]
    assert {(entry.type, entry.mode, entry.mtime) for entry in entries} == {
        (tarfile.REGTYPE, 0o644, 0)
    }


def test_the_locked_jars_have_names_that_every_tar_can_hold() -> None:
    with tarfile.open(fileobj=io.BytesIO(), mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for jar in lock.all_locked():
            tar.addfile(tarfile.TarInfo(f"{bundle.TOP}/maven/{jar.path}"))


def test_what_is_missing_is_fetched_first(
    settings: Settings, repository: MavenServer, file: Path
) -> None:
    file.parent.mkdir()
    progress = Progress()
    write_bundle(settings, progress, file)
    assert [step.text for step in progress.steps] == [
        "Fetching 2 MB of jars",
        f"Writing 2 MB to {file}",
    ]
    before = repository.request_count
    write_bundle(settings, Progress(), file)
    assert repository.request_count == before == len(everything())


def test_a_cache_that_cannot_be_written_makes_a_bundle(
    settings: Settings, file: Path, written: Path
) -> None:
    prefetch_all(settings, Progress())
    first = written.read_bytes()
    with read_only(settings.cache):
        write_bundle(settings, Progress(), file)
    assert file.read_bytes() == first


@pytest.mark.parametrize("before", [None, b"what was there"])
def test_a_full_disk_leaves_no_half_bundle(
    settings: Settings, file: Path, before: bytes | None
) -> None:
    with small_disk(file.parent, "500k"):
        if before:
            file.write_bytes(before)
        with pytest.raises(ResourceError, match=r"jars\.tar is full: free some space"):
            write_bundle(settings, Progress(), file)
        left = {path.name: path.read_bytes() for path in file.parent.iterdir()}
    assert left == ({file.name: before} if before else {})


def test_an_interrupt_leaves_no_half_bundle(settings: Settings, file: Path) -> None:
    class Interrupted(Progress):
        def show(self) -> None:
            step: Step = self.steps[-1]
            if step.text.startswith("Writing") and step.fraction:
                raise KeyboardInterrupt

    file.parent.mkdir()
    with pytest.raises(KeyboardInterrupt):
        write_bundle(settings, Interrupted(), file)
    assert list(file.parent.iterdir()) == []


def test_a_folder_that_cannot_be_written(settings: Settings, file: Path) -> None:
    file.parent.mkdir()
    with (
        read_only(file.parent),
        pytest.raises(ResourceError, match=r"jars\.tar cannot be written.*a folder of yours"),
    ):
        write_bundle(settings, Progress(), file)


def test_a_name_that_is_too_long(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"cannot be written \(File name too long\)"):
        write_bundle(settings, Progress(), tmp_path / ("long" * 63 + ".tar"))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("jars.zip", r"jars\.zip does not end in \.tar.*name it jars\.tar\."),
        ("jars", r"jars does not end in \.tar.*name it jars\.tar\."),
        (".", r" is a folder: give the bundle the name of a file"),
        ("folder.tar", r"folder\.tar is a folder: give the bundle the name of a file"),
        ("nowhere/jars.tar", r"There is no folder .*nowhere: create it"),
    ],
)
def test_names_that_no_bundle_can_have(
    settings: Settings, repository: MavenServer, tmp_path: Path, name: str, sentence: str
) -> None:
    (tmp_path / "folder.tar").mkdir()
    with pytest.raises(SettingError, match=sentence):
        write_bundle(settings, Progress(), tmp_path / name)
    assert repository.request_count == 0


def test_a_jar_that_changes_while_it_is_written(settings: Settings, file: Path) -> None:
    jar = prefetch_all(settings, Progress()).jars[3]

    class Changing(Progress):
        def show(self) -> None:
            if self.steps[-1].text.startswith("Writing"):
                jar.write_bytes(b"else")

    file.parent.mkdir()
    with pytest.raises(DownloadError, match=r"changed while the bundle was written"):
        write_bundle(settings, Changing(), file)
    assert list(file.parent.iterdir()) == []


# -- taking -------------------------------------------------------------------------------------------


def test_a_bundle_fills_a_cache_without_a_network(
    offline: Settings, written: Path, repository: MavenServer, archives: list[Path]
) -> None:
    progress = Progress()
    distribution = prefetch_all(offline, progress, str(written))
    assert in_cache(offline) == everything()
    assert distribution == installed(offline, verify=True)
    assert [step.text for step in progress.steps] == [
        f"Fetching 2 MB of jars from {written}",
        "Making the class-data archive",
    ]
    assert repository.request_count == 0


def test_only_what_is_missing_is_written(offline: Settings, written: Path) -> None:
    jars = prefetch_all(offline, Progress(), str(written)).jars
    jars[1].unlink()
    jars[2].write_bytes(b"damaged")
    kept = jars[0].stat().st_ino
    take(offline, written)
    assert in_cache(offline) == everything()
    assert jars[0].stat().st_ino == kept


def test_progress_grows_to_the_end(offline: Settings, written: Path) -> None:
    seen: list[float] = []

    class Seen(Progress):
        def show(self) -> None:
            if self.steps[-1].fraction:
                seen.append(self.steps[-1].fraction)

    prefetch_all(offline, Seen(), str(written))
    assert len(seen) > 5 and seen == sorted(seen) and 0.95 < seen[-1] <= 1


@pytest.mark.parametrize("length", [0, 1, 511, 512, 700])
def test_a_beginning_alone_is_no_bundle(offline: Settings, written: Path, length: int) -> None:
    os.truncate(written, length)
    with pytest.raises(DownloadError, match=r"jars\.tar is not a bundle: give what"):
        take(offline, written)
    assert in_cache(offline) == set()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.98])
def test_a_cut_bundle_gives_what_came_whole(offline: Settings, written: Path, share: float) -> None:
    content = written.read_bytes()
    os.truncate(written, int(len(content) * share))
    with pytest.raises(DownloadError, match=r"jars\.tar ends too early: copy it again"):
        take(offline, written)
    assert len(in_cache(offline)) == int(len(everything()) * share)
    written.write_bytes(content)
    take(offline, written)
    assert in_cache(offline) == everything()


def test_a_flipped_byte_is_found_in_any_jar(offline: Settings, written: Path) -> None:
    content = bytearray(written.read_bytes())
    with tarfile.open(written) as tar:
        middles = {entry.name: entry.offset_data + entry.size // 2 for entry in tar}
    for jar in lock.all_locked():
        place = middles[f"brokerlab-jars/maven/{jar.path}"]
        content[place] ^= 1
        written.write_bytes(content)
        with pytest.raises(DownloadError, match=rf"{jar.name} in .*\(its SHA-256 differs\)"):
            take(offline, written)
        assert jar.name not in in_cache(offline)
        content[place] ^= 1


def test_a_flipped_byte_between_the_jars(offline: Settings, written: Path) -> None:
    content = bytearray(written.read_bytes())
    with tarfile.open(written) as tar:
        second = tar.getmembers()[2].offset
    content[second] ^= 1
    written.write_bytes(content)
    with pytest.raises(DownloadError, match=r"jars\.tar has been damaged or changed: copy it"):
        take(offline, written)
    assert len(in_cache(offline)) == 1


def test_a_bundle_of_another_version(
    offline: Settings, written: Path, jars: Lock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    newer = tmp_path / "newer.txt"
    all_but_one = [jar for group in jars.values() for jar in group][1:]
    newer.write_text(lock.lock_text(all_but_one), "utf-8")
    monkeypatch.setattr(lock, "LOCK", newer)
    lock.locked.cache_clear()
    with pytest.raises(DownloadError, match=r"made by a version of BrokerLab that needs other"):
        take(offline, written)
    assert not (offline.cache / "maven").exists()


def zipped(written: Path) -> bytes:
    return b"PK\x03\x04" + written.read_bytes()[:2000]


@pytest.mark.parametrize(
    "make",
    [
        zipped,
        lambda written: gzip.compress(written.read_bytes()),
        lambda written: b"<html>please log in</html>" * 100,
        lambda written: bytes(100_000),
        lambda written: tar_of(entry("readme.txt", b"another tar")),
        lambda written: tar_of(entry(bundle.LISTING, b"not\nour\nlines\n")),
        lambda written: tar_of(entry(bundle.LISTING, b"\xff\xfe")),
        lambda written: tar_of(entry(bundle.LISTING, b"#" * (bundle.LARGEST_LISTING + 1))),
    ],
    ids=["zip", "gzip", "page", "zeros", "tar", "lines", "bytes", "long"],
)
def test_what_is_no_bundle(offline: Settings, written: Path, make: Callable[[Path], bytes]) -> None:
    written.write_bytes(make(written))
    with pytest.raises(DownloadError, match=r"jars\.tar is not a bundle: give what"):
        take(offline, written)
    assert not (offline.cache / "maven").exists()


# -- hostile ------------------------------------------------------------------------------------------

Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, content: bytes = b"", **changes: object) -> Entry:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for attribute, value in changes.items():
        setattr(info, attribute, value)
    return info, content


def tar_of(*entries: Entry) -> bytes:
    """Return a tar file with headers as they are given, whatever they promise."""
    parts = []
    for info, content in entries:
        parts += [info.tobuf(tarfile.GNU_FORMAT), content, bytes(-len(content) % 512)]
    return b"".join(parts) + bytes(1024)


def listing() -> Entry:
    return entry(bundle.LISTING, lock.lock_text(lock.all_locked()).encode())


def jar_entry(**changes: object) -> Entry:
    jar = lock.all_locked()[0]
    return entry(f"{bundle.TOP}/maven/{jar.path}", content_of(jar.coordinate), **changes)


HOSTILE: dict[str, Callable[[Path], Entry]] = {
    "traversal": lambda outside: entry(f"{bundle.TOP}/maven/../../../{outside.name}", b"x"),
    "absolute": lambda outside: entry(str(outside), b"x"),
    "unknown": lambda outside: entry(f"{bundle.TOP}/maven/evil.jar", b"x"),
    "symbolic link": lambda outside: jar_entry(type=tarfile.SYMTYPE, linkname=str(outside)),
    "hard link": lambda outside: jar_entry(type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    "device": lambda outside: jar_entry(type=tarfile.CHRTYPE),
    "folder": lambda outside: jar_entry(type=tarfile.DIRTYPE),
    "sparse": lambda outside: jar_entry(type=tarfile.GNUTYPE_SPARSE),
    "long name": lambda outside: entry("././@LongLink", b"x" * 600, type=b"L"),
    "extended header": lambda outside: entry("pax", b"11 path=../\n", type=tarfile.XHDTYPE),
    "huge": lambda outside: jar_entry(size=1 << 40),
    "negative": lambda outside: jar_entry(size=-512),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_entry_is_refused(
    offline: Settings, written: Path, tmp_path: Path, kind: str
) -> None:
    outside = tmp_path / "outside"
    written.write_bytes(tar_of(listing(), HOSTILE[kind](outside)))
    with pytest.raises(DownloadError, match=r"jars\.tar has been damaged or changed"):
        take(offline, written)
    assert not outside.exists()
    assert in_cache(offline) == set()


def test_an_entry_that_comes_twice_is_refused(offline: Settings, written: Path) -> None:
    written.write_bytes(tar_of(listing(), jar_entry(), jar_entry()))
    with pytest.raises(DownloadError, match=r"jars\.tar has been damaged or changed"):
        take(offline, written)


def test_a_bundle_that_ends_before_its_last_jar(offline: Settings, written: Path) -> None:
    written.write_bytes(tar_of(listing(), jar_entry()))
    with pytest.raises(DownloadError, match=r"jars\.tar has been damaged or changed"):
        take(offline, written)
    assert len(in_cache(offline)) == 1


def test_whatever_is_changed_ends_in_a_sentence_or_in_whole_jars(
    offline: Settings, written: Path
) -> None:
    content = written.read_bytes()
    with tarfile.open(written) as tar:
        headers = [entry.offset for entry in tar]
    chance = random.Random(7)
    refused = 0
    for _ in range(100):
        changed = bytearray(content)
        header = chance.choice(headers)
        for _ in range(chance.randint(1, 3)):
            changed[header + chance.randrange(512)] = chance.choice(b"\0\xff /.019LSxg\x80")
        chunks = [bytes(changed[at : at + 70_001]) for at in range(0, len(changed), 70_001)]
        try:
            bundle.unpack(chunks, lock.all_locked(), offline.cache / "maven", "the bundle")
        except DownloadError:
            refused += 1
        else:
            assert in_cache(offline) == everything()
        assert in_cache(offline) <= everything()
        shutil.rmtree(offline.cache, ignore_errors=True)
    assert refused > 50


def test_a_link_in_the_cache_does_not_lead_what_is_written_elsewhere(
    offline: Settings, written: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    target = offline.cache / "maven" / lock.all_locked()[0].path
    target.parent.mkdir(parents=True)
    target.symlink_to(precious)
    take(offline, written)
    assert precious.read_bytes() == b"precious"
    assert in_cache(offline) == everything()


def test_a_full_disk_of_the_cache_keeps_what_is_whole(
    offline: Settings, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brokerlab.distribution.installation.require_space", lambda *_: None)
    with small_disk(offline.cache, "500k"):
        with pytest.raises(ResourceError, match=r"is full: free some space"):
            take(offline, written)
        assert 0 < len(in_cache(offline)) < len(everything())
        assert not list(offline.cache.rglob(f".*{files.PARTIAL}"))

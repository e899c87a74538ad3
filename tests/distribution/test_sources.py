"""What `brokerlab prefetch --from` may be given, and what it says of anything else."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from brokerlab import cli
from brokerlab.distribution import installed, prefetch_all, transfer, write_bundle
from brokerlab.distribution import jars as lock
from brokerlab.errors import DownloadError, ResourceError, SettingError
from brokerlab.progress import Progress
from brokerlab.settings import Settings
from maven_repository import MavenServer, cut, page, refused, whole
from mounts import small_disk


@pytest.fixture
def full(settings: Settings, repository: MavenServer, tmp_path: Path) -> Path:
    """The filled cache of another machine; what it has asked for is forgotten."""
    elsewhere = replace(settings, cache=tmp_path / "full")
    prefetch_all(elsewhere, Progress())
    repository.requests.clear()
    return elsewhere.cache


@pytest.fixture
def served(settings: Settings, full: Path, repository: MavenServer, tmp_path: Path) -> str:
    """The address of a bundle that a web server has, and no jar beside it."""
    file = tmp_path / "jars.tar"
    write_bundle(replace(settings, cache=full), Progress(), file)
    repository.content = {"/class/jars.tar": file.read_bytes()}
    return f"{repository.address}/class/jars.tar"


def take(settings: Settings, place: object) -> list[str]:
    """Prefetch from there and return the steps that were shown."""
    progress = Progress()
    prefetch_all(settings, progress, str(place))
    return [step.text for step in progress.steps]


def missing(settings: Settings) -> set[str]:
    jars = {jar: settings.cache / "maven" / jar.path for jar in lock.all_locked()}
    assert not list(settings.cache.rglob("*.part"))
    return {jar.name for jar, path in jars.items() if not jar.is_whole(path, verify=True)}


# -- folders ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", ["", "maven"])
def test_a_filled_cache_and_a_maven_repository(
    settings: Settings, full: Path, repository: MavenServer, inside: str
) -> None:
    steps = take(settings, full / inside)
    assert steps == [f"Fetching 2 MB of jars from {full / inside}", "Making the class-data archive"]
    assert missing(settings) == set()
    assert repository.request_count == 0


def test_a_bundle_that_was_unpacked(settings: Settings, served: str, tmp_path: Path) -> None:
    subprocess.run(["tar", "-xf", tmp_path / "jars.tar"], cwd=tmp_path, check=True)
    take(settings, tmp_path / "brokerlab-jars")
    assert missing(settings) == set()


def test_a_relative_path_and_a_home(
    settings: Settings, full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(full.parent))
    take(settings, "~/full")
    shutil.rmtree(settings.cache)
    monkeypatch.chdir(full.parent)
    take(settings, "full")
    assert missing(settings) == set()


def test_a_folder_that_lacks_some(settings: Settings, full: Path, repository: MavenServer) -> None:
    damaged, gone, *_ = (full / "maven" / jar.path for jar in lock.all_locked())
    damaged.write_bytes(bytes(damaged.stat().st_size))
    gone.unlink()
    told = rf"2 of the 10 jars .* in {full} \({damaged.name} is one\): fill it again"
    with pytest.raises(DownloadError, match=told):
        take(settings, full)
    assert missing(settings) == {damaged.name, gone.name}
    assert repository.request_count == 0
    prefetch_all(settings, Progress())
    assert repository.request_count == 2


def test_a_folder_with_nothing_of_use(settings: Settings, tmp_path: Path, full: Path) -> None:
    with pytest.raises(DownloadError, match=rf"{tmp_path} has none of the 10 jars"):
        take(settings, tmp_path)
    # Special files at a jar's place are not opened.
    pipe = tmp_path / "pipes" / "maven" / lock.all_locked()[0].path
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    with pytest.raises(DownloadError, match="has none of the 10 jars"):
        take(settings, tmp_path / "pipes")


def test_a_folder_is_of_no_matter_when_nothing_is_missing(settings: Settings, full: Path) -> None:
    prefetch_all(settings, Progress())
    empty = full.parent / "empty"
    empty.mkdir()
    assert take(settings, empty) == []


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("file:///media/jars.tar", r"neither http:// nor https://: .*the path of a bundle"),
        ("ftp://teacher/jars.tar", r"neither http:// nor https://: .*the path of a bundle"),
        ("http:///jars.tar", r"names no host: give the whole address"),
        ("http://[::1/jars.tar", r"is no address: write it as in http://"),
        ("no/such/jars.tar", r"no bundle and no folder /.*no/such/jars\.tar: give the path"),
        ("/dev/zero", r"no bundle and no folder /dev/zero: give the path"),
        ("~nobody-of-this-name/jars.tar", r"no bundle and no folder .*nobody-of-this-name"),
        ("", r"`--from` was given nothing"),
        ("long" * 100 + ".tar", r"no bundle and no folder .*longlong.*: give the path"),
        ("a\0b", r"no bundle and no folder"),
    ],
)
def test_places_that_are_none(
    settings: Settings, repository: MavenServer, place: str, sentence: str
) -> None:
    with pytest.raises(SettingError, match=sentence):
        take(settings, place)
    assert not settings.cache.exists()
    assert repository.request_count == 0


# -- addresses ----------------------------------------------------------------------------------------


def test_a_bundle_on_a_web_server(settings: Settings, served: str, repository: MavenServer) -> None:
    assert take(settings, served) == [
        f"Fetching 2 MB of jars from {served}",
        "Making the class-data archive",
    ]
    assert missing(settings) == set()
    assert {name: len(times) for name, times in repository.requests.items()} == {"jars.tar": 1}
    assert installed(settings, verify=True).archive


def test_a_repository_on_a_web_server(
    settings: Settings, repository: MavenServer, jars: object
) -> None:
    no_mirror = replace(settings, mirror="http://127.0.0.1:9")
    steps = take(no_mirror, repository.address + "/")
    assert steps[0] == f"Fetching 2 MB of jars from {repository.address}/"
    assert missing(settings) == set()
    assert repository.request_count == 10


def test_a_repository_that_has_no_jars(
    settings: Settings, repository: MavenServer, jars: object
) -> None:
    repository.answers["slf4j-api-1.7.36.jar"] = [refused(404)]
    told = r"HTTP 404 .*the repository http://127.*check the address that --from was given"
    with pytest.raises(DownloadError, match=told):
        take(settings, repository.address)


def test_a_cut_bundle_is_asked_for_again(
    settings: Settings, served: str, repository: MavenServer
) -> None:
    repository.answers["jars.tar"] = [cut, refused(503, Retry_After="0"), whole]
    take(settings, served)
    assert len(repository.requests["jars.tar"]) == 3
    assert missing(settings) == set()


def test_a_bundle_that_is_always_cut_keeps_what_came(
    settings: Settings, served: str, repository: MavenServer
) -> None:
    repository.answers["jars.tar"] = [cut]
    with pytest.raises(DownloadError, match=r"jars\.tar was cut .*when the network is better"):
        take(settings, served)
    assert len(repository.requests["jars.tar"]) == transfer.TRIES["cut"]
    assert 0 < len(missing(settings)) < 8


def test_a_page_instead_of_a_bundle(
    settings: Settings, served: str, repository: MavenServer
) -> None:
    repository.answers["jars.tar"] = [page]
    with pytest.raises(DownloadError, match=r"from http://127.*is not a bundle.*log-in page"):
        take(settings, served)


def test_a_bundle_that_is_not_there(
    settings: Settings, served: str, repository: MavenServer
) -> None:
    repository.answers["jars.tar"] = [refused(404)]
    with pytest.raises(DownloadError, match=r"HTTP 404 .*jars\.tar .*that the bundle is there"):
        take(settings, served)


def test_a_server_that_is_not_there(settings: Settings) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://teacher:secret@127.0.0.1:{unused.getsockname()[1]}/jars.tar?token=secret"
        with pytest.raises(DownloadError, match=r"jars\.tar cannot be reached: check") as caught:
            take(settings, address)
    assert "secret" not in str(caught.value)


def test_a_disk_that_fills_up_while_a_bundle_comes(
    settings: Settings, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brokerlab.distribution.installation.require_space", lambda *_: None)
    with small_disk(settings.cache, "500k"):
        with pytest.raises(ResourceError, match=r"is full: free some space"):
            take(settings, served)
        assert 0 < len(missing(settings)) < 8


# -- the command --------------------------------------------------------------------------------------


@pytest.fixture
def command_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKERLAB_CACHE", str(settings.cache))
    monkeypatch.setenv("BROKERLAB_HOME", str(settings.home))
    monkeypatch.setenv("BROKERLAB_MIRROR", str(settings.mirror))


def test_from_one_machine_to_another(
    settings: Settings,
    command_line: None,
    repository: MavenServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "for the class.tar"
    assert cli.main(["bundle", str(file)]) == cli.USABLE
    told = capsys.readouterr()
    assert told.out == f"10 jars are in {file}; elsewhere: brokerlab prefetch --from '{file}'\n"
    assert f"Writing 2 MB to {file}" in told.err

    shutil.rmtree(settings.cache)
    repository.content.clear()
    assert cli.main(["prefetch", "--from", str(file)]) == cli.USABLE
    told = capsys.readouterr()
    assert told.out == (
        "Kafka 3.9.2 and the tools of every lesson are ready: 10 jars, with a class-data archive.\n"
    )
    assert f"Fetching 2 MB of jars from {file}" in told.err


def test_the_command_fetches_for_every_lesson(
    settings: Settings, command_line: None, repository: MavenServer
) -> None:
    assert cli.main(["prefetch"]) == cli.USABLE
    assert missing(settings) == set()
    assert repository.request_count == 10


def test_a_failure_is_one_sentence_and_an_exit_code(
    settings: Settings, command_line: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "jars.tar").write_bytes(b"")
    assert cli.main(["prefetch", "--from", str(tmp_path / "jars.tar")]) == cli.FAILED
    *steps, sentence = capsys.readouterr().err.splitlines()
    assert [step.strip()[0] for step in steps] == ["✗"]
    assert sentence.startswith(f"{tmp_path}/jars.tar is not a bundle: ")
    assert cli.main(["bundle", str(tmp_path)]) == cli.FAILED
    assert capsys.readouterr().err.count("\n") == 1

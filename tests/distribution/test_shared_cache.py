"""One cache and many who want it: processes that fill it at once, and accounts that may only read it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from accounts import NOBODY, as_nobody
from brokerlab import settings as environment
from brokerlab.distribution import jars as lock
from brokerlab.distribution import prefetch_all
from brokerlab.progress import Progress
from brokerlab.settings import Settings
from maven_repository import Handler, MavenServer, whole
from witnesses import until

PREFETCHER = Path(__file__).with_name("prefetcher.py")
LIMIT = 60.0
PROCESSES = 8
FIRST_STEP = "Fetching 2 MB of jars"


class Prefetching:
    """A process that prefetches, and what it has said."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        self.said.extend(line.rstrip() for line in self.process.stdout)

    def begin(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> int:
        code = self.process.wait(LIMIT)
        self._reader.join(LIMIT)
        return code


@pytest.fixture
def processes(settings: Settings) -> Iterator[list[Prefetching]]:
    """Eight processes, each about to prefetch into the same empty cache."""
    own = {
        "BROKERLAB_CACHE": str(settings.cache),
        "BROKERLAB_HOME": str(settings.home),
        "BROKERLAB_MIRROR": str(settings.mirror),
    }
    with ExitStack() as stack:
        started = []
        for _ in range(PROCESSES):
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, PREFETCHER, lock.LOCK],
                    env={**os.environ, **own},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
            stack.callback(process.kill)
            started.append(Prefetching(process))
        until(lambda: all(one.said == ["here"] for one in started), LIMIT, "all to be there")
        yield started


def hold(repository: MavenServer, jar: str) -> threading.Event:
    """Have the repository keep everybody waiting for one jar, until the event is set."""
    released = threading.Event()

    def held(handler: Handler, content: bytes) -> None:
        assert released.wait(LIMIT)
        whole(handler, content)

    repository.answers[jar] = [held]
    return released


def all_but_one_wait(processes: list[Prefetching]) -> bool:
    waiting = [one for one in processes if any("Waiting for" in line for line in one.said)]
    return len(waiting) == len(processes) - 1


def asked(repository: MavenServer) -> dict[str, int]:
    return {name: len(times) for name, times in repository.requests.items()}


def test_eight_at_once_fetch_once(
    settings: Settings, repository: MavenServer, processes: list[Prefetching]
) -> None:
    released = hold(repository, "kafka_2.13-3.9.2.jar")
    for one in processes:
        one.begin()
    until(lambda: all_but_one_wait(processes), LIMIT, "seven to wait for the eighth")
    released.set()
    assert [one.end() for one in processes] == [0] * PROCESSES
    assert asked(repository) == {jar.name: 1 for jar in lock.all_locked()}
    steps = [line for one in processes for line in one.said]
    assert steps.count(FIRST_STEP) == steps.count("Making the class-data archive") == 1
    assert steps.count("6 jars, archive: True") == PROCESSES
    assert not list(settings.cache.rglob("*.part"))


def test_one_that_is_killed_in_the_middle_does_not_stop_the_others(
    settings: Settings, repository: MavenServer, processes: list[Prefetching]
) -> None:
    last = "kafka_2.13-3.9.2.jar"
    released = hold(repository, last)
    for one in processes:
        one.begin()
    others = {jar for jar in lock.all_locked() if jar.name != last}
    repository_folder = settings.cache / "maven"
    until(
        lambda: (
            all_but_one_wait(processes)
            and all(jar.is_whole(repository_folder / jar.path, verify=True) for jar in others)
        ),
        LIMIT,
        "all jars but one",
    )
    (holder,) = (one for one in processes if FIRST_STEP in one.said)
    assert f"process {holder.process.pid} on" in (settings.cache / "prefetch.owner").read_text()
    holder.process.kill()
    released.set()
    assert holder.end() == -signal.SIGKILL
    assert [one.end() for one in processes if one is not holder] == [0] * (PROCESSES - 1)
    assert asked(repository) == {jar.name: 1 for jar in others} | {last: 2}
    assert not list(settings.cache.rglob("*.part"))
    assert not (settings.cache / "prefetch.owner").exists()


# -- accounts -----------------------------------------------------------------------------------------


@pytest.fixture
def filled(settings: Settings, shared: Path) -> dict[str, str]:
    """A shared cache that its owner has filled, as variables; the network is gone."""
    shutil.copy(lock.LOCK, shared / "jars.txt")
    cache = shared / "cache"
    prefetch_all(Settings(**{**vars(settings), "cache": cache}), Progress())
    return {"BROKERLAB_CACHE": str(cache), "BROKERLAB_MIRROR": "http://127.0.0.1:9"}


def prefetch_as_nobody(
    python: list[str], shared: Path, variables: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    script = shutil.copy(PREFETCHER, shared)
    return as_nobody([*python, script, shared / "jars.txt"], **variables)


def test_a_full_cache_of_another_account_will_do(
    their_python: list[str], shared: Path, filled: dict[str, str]
) -> None:
    before = sorted(shared.rglob("*"))
    run = prefetch_as_nobody(their_python, shared, filled)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines() == ["here", "6 jars, archive: True"]
    assert sorted(shared.rglob("*")) == sorted({*before, shared / "prefetcher.py"})


@pytest.mark.parametrize("group", lock.GROUPS)
def test_a_cache_of_another_account_that_lacks_a_jar(
    their_python: list[str], shared: Path, filled: dict[str, str], group: str
) -> None:
    (shared / "cache" / "maven" / lock.locked(group)[0].path).unlink()
    run = prefetch_as_nobody(their_python, shared, filled)
    assert (run.returncode, run.stdout) == (1, "here\n")
    assert run.stderr == (
        f"ResourceError: The cache folder {shared}/cache cannot be written (Permission denied): set "
        "BROKERLAB_CACHE to a folder of yours, or have its owner run `brokerlab prefetch`.\n"
    )


def test_a_cache_of_another_account_that_may_not_be_read(
    their_python: list[str], shared: Path, filled: dict[str, str]
) -> None:
    jar = shared / "cache" / "maven" / lock.locked("kafka")[2].path
    jar.chmod(0o600)
    run = prefetch_as_nobody(their_python, shared, filled)
    assert (run.returncode, run.stdout) == (1, "here\n")
    assert run.stderr == (
        f"ResourceError: This account may not read {jar}: have the cache's owner run `chmod -R a+rX "
        f"{shared}/cache`, or set BROKERLAB_CACHE to a folder of yours.\n"
    )


@pytest.mark.parametrize("hidden", ["bundle", "folder"])
def test_a_bundle_that_this_account_may_not_read(
    their_python: list[str], shared: Path, hidden: str
) -> None:
    folder = shared / "teacher"
    folder.mkdir(mode=0o755 if hidden == "bundle" else 0o700)
    file = folder / "jars.tar"
    file.write_bytes(b"")
    file.chmod(0o600)
    cache = shared / "cache"
    cache.mkdir()
    os.chown(cache, NOBODY, NOBODY)
    command = [*their_python, "-m", "brokerlab.cli", "prefetch", "--from", file]
    run = as_nobody(command, BROKERLAB_CACHE=str(cache))
    assert run.returncode == 1
    *_, sentence = run.stderr.splitlines()
    assert sentence.startswith(f"{file} cannot be read (Permission denied): have its permissions")


@pytest.mark.cluster
def test_a_lab_from_the_cache_of_another_account(
    their_python: list[str], shared: Path, cache: Path
) -> None:
    machine = environment.read()
    prefetch_all(machine, Progress())
    own = Settings(**{**vars(machine), "cache": shared / "cache", "mirror": "http://127.0.0.1:9"})
    prefetch_all(own, Progress(), str(cache))
    home = shared / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    variables = {
        "BROKERLAB_CACHE": str(own.cache),
        "BROKERLAB_HOME": str(home),
        "BROKERLAB_MIRROR": "http://127.0.0.1:9",
        "BROKERLAB_RUNTIME": "local",
    }
    command = [*their_python, "-m", "brokerlab.cli"]
    try:
        started = as_nobody([*command, "start", "--brokers", "1"], **variables)
        assert started.returncode == 0, started.stderr
        assert "class-data archive" not in started.stderr
        status = json.loads(as_nobody([*command, "status", "--json"], **variables).stdout)
        assert status["state"] == "usable"
        jsa = next((own.cache / "archive").glob("*.jsa"))
        for node in status["nodes"]:
            maps = Path(f"/proc/{node['pid']}/maps").read_text()
            assert str(jsa) in maps, "the node runs from the shared archive"
            assert Path(f"/proc/{node['pid']}").stat().st_uid == NOBODY
    finally:
        stopped = as_nobody([*command, "stop", "--all"], **variables)
    assert stopped.returncode == 0

"""The real archive of the real jars: made, used, and never in the way."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from brokerlab import settings as environment
from brokerlab.distribution import Distribution, archive, installed, java_environment, prefetch
from brokerlab.progress import Progress
from brokerlab.settings import Settings

pytestmark = pytest.mark.cluster

FROM_ARCHIVE = "source: shared objects file"


@pytest.fixture(scope="module")
def kafka() -> Distribution:
    """What the machine's own cache holds."""
    return prefetch(environment.read(), Progress())


@pytest.fixture
def short_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make archives of the tool's classes alone, which takes a second instead of five."""
    classes = gzip.decompress(archive.CLASS_LIST.read_bytes()).decode().splitlines()
    few = [name for name in classes if name.startswith(("java/lang/", "org/apache/kafka/tools/"))]
    short = tmp_path / "classes.txt.gz"
    short.write_bytes(gzip.compress("\n".join(few).encode()))
    monkeypatch.setattr(archive, "CLASS_LIST", short)


@pytest.fixture
def moved(
    kafka: Distribution, short_list: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """Settings of a cache with all jars and no archive, under a path with everything in it."""
    machine = environment.read()
    cache = tmp_path / "Größe 1 — 日本 кафка"
    shutil.copytree(machine.cache / "maven", cache / "maven", copy_function=_link)
    yield replace(machine, cache=cache, mirror="http://127.0.0.1:9")


def _link(source: str, target: str) -> None:
    Path(target).symlink_to(source)


def loaded(distribution: Distribution) -> str:
    """Run a tool and return where each class came from."""
    command = distribution.command("org.apache.kafka.tools.TopicCommand", "--version")
    command.insert(command.index("-cp"), "-Xlog:class+load:stderr")
    run = subprocess.run(command, env=java_environment(), capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "3.9.2\n")
    return run.stderr


def uses_archive(distribution: Distribution) -> bool:
    lines = loaded(distribution).splitlines()
    (tool,) = (line for line in lines if " org.apache.kafka.tools.TopicCommand " in line)
    return FROM_ARCHIVE in tool


def quiet_version(distribution: Distribution) -> bool:
    """Tell whether a tool prints its version and not a word else."""
    command = distribution.command("org.apache.kafka.tools.TopicCommand", "--version")
    run = subprocess.run(command, env=java_environment(), capture_output=True, text=True)
    return (run.returncode, run.stdout, run.stderr) == (0, "3.9.2\n", "")


def test_nearly_every_class_comes_from_the_archive(kafka: Distribution) -> None:
    lines = [line for line in loaded(kafka).splitlines() if "source:" in line]
    shared = sum(FROM_ARCHIVE in line for line in lines)
    assert shared > 0.95 * len(lines) > 500
    assert not uses_archive(replace(kafka, archive=None))


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "missing"])
def test_a_damaged_archive_costs_time_alone(
    kafka: Distribution, tmp_path: Path, damage: str
) -> None:
    assert kafka.archive
    damaged = tmp_path / "damaged.jsa"
    if damage == "cut":
        damaged.write_bytes(kafka.archive.read_bytes()[:20_000_000])
    elif damage != "missing":
        damaged.write_bytes(b"" if damage == "empty" else b"not an archive" * 10_000)
    changed = replace(kafka, archive=damaged)
    assert quiet_version(changed)
    assert not uses_archive(changed)


def test_a_flipped_byte_is_found_by_verifying(moved: Settings) -> None:
    made = prefetch(moved, Progress()).archive
    assert made
    content = bytearray(made.read_bytes())
    content[len(content) // 2] ^= 255
    made.chmod(0o644)
    made.write_bytes(content)
    assert installed(moved).archive == made
    assert installed(moved, verify=True).archive is None
    assert prefetch(moved, Progress()).archive == made
    assert installed(moved, verify=True).archive == made


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_any_path_in_any_locale(
    moved: Settings, monkeypatch: pytest.MonkeyPatch, locale: str
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    progress = Progress()
    distribution = prefetch(moved, progress)
    assert [step.text for step in progress.steps] == ["Making the class-data archive"]
    assert uses_archive(distribution)
    assert quiet_version(distribution)
    assert not list(moved.cache.rglob(".*"))


def test_a_moved_cache_runs_at_once_and_gets_its_archive_by_prefetch(moved: Settings) -> None:
    prefetch(moved, Progress())
    elsewhere = replace(moved, cache=moved.cache.with_name("elsewhere"))
    moved.cache.rename(elsewhere.cache)
    distribution = installed(elsewhere, verify=True)
    assert distribution.archive is None
    assert quiet_version(distribution)
    assert uses_archive(prefetch(elsewhere, Progress()))
    assert uses_archive(installed(elsewhere))


def test_only_a_few_archives_are_kept(moved: Settings, tmp_path: Path) -> None:
    for number in range(archive.KEPT + 1):
        place = replace(moved, cache=tmp_path / f"place {number}")
        previous = tmp_path / f"place {number - 1}" if number else moved.cache
        previous.rename(place.cache)
        prefetch(place, Progress())
    kept = sorted(file.suffix for file in (place.cache / "archive").iterdir())
    assert kept == [".jsa"] * archive.KEPT + [".sha256"] * archive.KEPT


def test_a_dump_that_hangs_is_given_up(moved: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "DUMP_SECONDS", 0.05)
    progress = Progress()
    assert prefetch(moved, progress).archive is None
    assert "No class-data archive" in progress.steps[-1].text
    assert not list(moved.cache.rglob(".*"))

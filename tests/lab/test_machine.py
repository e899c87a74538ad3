"""Memory, disk and folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from brokerlab import machine
from brokerlab.errors import BrokerLabError, ResourceError
from brokerlab.machine import MB

V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = ("memory.max", "memory.current", "inactive_file")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8000 MB free, whose control groups are files below the folder returned."""
    monkeypatch.setattr(machine, "Path", lambda path: tmp_path / path.lstrip("/"))
    free = SimpleNamespace(available=8000 * MB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    (tmp_path / "proc/self").mkdir(parents=True)
    return tmp_path


def member_of(system: Path, *lines: str) -> None:
    (system / "proc/self/cgroup").write_text("".join(f"{line}\n" for line in lines))


def group(
    folder: Path, names: tuple[str, str, str], limit: int | str, used: int, cached: int = 0
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    limit_file, usage_file, cache_key = names
    (folder / limit_file).write_text(f"{limit if isinstance(limit, str) else limit * MB}\n")
    (folder / usage_file).write_text(f"{used * MB}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{cache_key} {cached * MB}\nshmem 0\n")


def test_without_control_groups_it_is_the_machines_memory(system: Path) -> None:
    assert machine.available_memory() == 8000 * MB


def test_a_limit_of_version_2(system: Path) -> None:
    member_of(system, "0::/user.slice/job")
    group(system / "sys/fs/cgroup/user.slice/job", V2, 1000, 700)
    assert machine.available_memory() == 300 * MB


def test_a_limit_of_version_1(system: Path) -> None:
    member_of(system, "5:cpu:/job", "4:memory:/job", "0::/")
    group(system / "sys/fs/cgroup/memory/job", V1, 1000, 600)
    assert machine.available_memory() == 400 * MB


def test_the_page_cache_counts_as_free(system: Path) -> None:
    member_of(system, "0::/job")
    group(system / "sys/fs/cgroup/job", V2, 1000, 900, cached=500)
    assert machine.available_memory() == 600 * MB


def test_a_limit_above_counts_where_there_is_none_of_its_own(system: Path) -> None:
    member_of(system, "0::/team/job")
    group(system / "sys/fs/cgroup/team/job", V2, "max", 10)
    group(system / "sys/fs/cgroup/team", V2, 500, 100)
    assert machine.available_memory() == 400 * MB


def test_a_container_that_does_not_see_its_own_path_reads_the_root(system: Path) -> None:
    member_of(system, "4:memory:/docker/0123456789")
    group(system / "sys/fs/cgroup/memory", V1, 700, 200)
    assert machine.available_memory() == 500 * MB


def test_a_group_beyond_its_limit_has_nothing_free(system: Path) -> None:
    member_of(system, "0::/job")
    group(system / "sys/fs/cgroup/job", V2, 100, 150)
    assert machine.available_memory() == 0


def test_files_that_make_no_sense_are_passed_over(system: Path) -> None:
    member_of(system, "0::/job")
    group(system / "sys/fs/cgroup/job", V2, "many", 150)
    assert machine.available_memory() == 8000 * MB


@pytest.mark.parametrize(
    "free, brokers, advice",
    [
        (machine.needed_memory(3) - 1, 3, r"brokerlab\.start\(brokers=2\)"),
        (machine.needed_memory(1), 3, r"brokerlab\.start\(brokers=1\)"),
        (machine.needed_memory(1) - 1, 3, "close other programs, then start again"),
        (10 * MB, 1, r"1 broker and ZooKeeper need \d+ MB of memory and 10 MB are free"),
    ],
)
def test_too_little_memory_offers_what_fits(free: int, brokers: int, advice: str) -> None:
    with pytest.raises(ResourceError, match=advice):
        machine.check_memory(brokers, free)


def test_just_enough_memory_is_enough() -> None:
    machine.check_memory(3, machine.needed_memory(3))


def test_too_little_disk_is_told_in_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(9 * MB, 2 * MB, 7 * MB))
    with pytest.raises(ResourceError, match=r"has 7 MB of free disk and the lab needs 300 MB"):
        machine.check_disk(tmp_path, machine.LAB_DISK, "BROKERLAB_HOME")
    machine.check_disk(tmp_path, 7 * MB, "BROKERLAB_HOME")


def test_a_folder_that_is_made_is_private_and_one_that_exists_is_left_alone(tmp_path: Path) -> None:
    machine.make_private_folder(tmp_path / "new", "BROKERLAB_HOME")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    machine.make_private_folder(shared, "BROKERLAB_HOME")
    assert shared.stat().st_mode & 0o777 == 0o755


def test_a_folder_below_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(
            ResourceError, match="set BROKERLAB_HOME to a folder that you may write"
        ):
            machine.make_private_folder(folder, "BROKERLAB_HOME")


def test_native_windows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "sys", SimpleNamespace(platform="win32"))
    with pytest.raises(BrokerLabError, match="WSL2"):
        machine.check_platform()


@pytest.fixture
def real_group() -> Iterator[Path]:
    """A memory control group of this system with a limit of 420 MB, where we may make one."""
    root = Path("/sys/fs/cgroup")
    version_1 = (root / "memory").is_dir()
    folder = (root / "memory" if version_1 else root) / f"brokerlab-test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / (V1 if version_1 else V2)[0]).write_text(str(420 * MB))
    except OSError as error:
        if folder.is_dir():
            folder.rmdir()
        pytest.skip(f"no memory control group can be made here ({error.strerror})")
    yield folder
    folder.rmdir()


def test_the_limit_of_a_real_control_group_is_seen(real_group: Path) -> None:
    code = (
        "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(str(os.getpid()));"
        "from brokerlab import machine; print(machine.available_memory());"
        "machine.check_memory(3)"
    )
    argv = [sys.executable, "-c", code, str(real_group / "cgroup.procs")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert 300 * MB < int(done.stdout) <= 420 * MB
    assert "ResourceError: 3 brokers and ZooKeeper need" in done.stderr
    assert "brokerlab.start(brokers=1)" in done.stderr

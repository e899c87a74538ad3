"""A part of this machine's memory, as a container or a session of a hub has it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from witnesses import until


@contextmanager
def memory_group(limit: int) -> Iterator[str]:
    """Make a control group of so many bytes; yield a line of Python that puts the process which runs it inside.

    The test is skipped where no group can be made.
    """
    root = Path("/sys/fs/cgroup")
    first = (root / "memory").is_dir()
    group = (root / "memory" if first else root) / f"brokerlab-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(limit))
    except OSError as error:
        with suppress(OSError):
            group.rmdir()
        pytest.skip(f"no memory control group can be made here ({error.strerror})")
    members = group / "cgroup.procs"
    try:
        yield f"import os, pathlib; pathlib.Path({str(members)!r}).write_text(str(os.getpid())); "
    finally:
        until(lambda: not members.read_text(), 15, "the group to be empty")
        group.rmdir()

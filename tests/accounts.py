"""Other accounts of this machine: commands run as somebody else, which only root can do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from functools import cache, partial
from pathlib import Path

import brokerlab
import pytest

NOBODY = 65_534
STRANGER = Path(__file__).parent / "lab" / "stranger.py"


def as_account(
    number: int, command: list[object], **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command as another account, with this environment's packages."""
    installed = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    packages = [str(Path(brokerlab.__file__).parent.parent), *dict.fromkeys(installed)]
    return subprocess.run(
        list(map(str, command)),
        env={**os.environ, "HOME": "/nonexistent", "PYTHONPATH": ":".join(packages), **variables},
        user=number,
        group=number,
        extra_groups=[],
        cwd="/",
        input="\n",
        capture_output=True,
        text=True,
        timeout=300,
    )


def stranger(
    uid: int, servers: str, zookeeper: str, topic: str, folder: Path, controllers: str = ""
) -> dict[str, str]:
    """Let somebody with another uid try what he can on a lab; return what became of each attempt."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another account")
    words = [str(uid), servers, zookeeper, topic, str(folder), controllers]
    ran = subprocess.run(
        [sys.executable, STRANGER, *words], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    told: dict[str, str] = json.loads(ran.stdout.splitlines()[-1])
    return told


as_nobody = partial(as_account, NOBODY)


@cache
def python_for_all() -> list[str]:
    """Return a Python of this version that another account may run; skip the test where there is none."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another account")
    for candidate in (sys.executable, f"/usr/bin/python{sys.version_info.major}"):
        look = "import sys, brokerlab.cli; print(*sys.version_info[:2])"
        try:
            run = as_nobody([candidate, "-c", look])
        except OSError:
            continue
        if run.stdout.split() == [str(number) for number in sys.version_info[:2]]:
            return [candidate]
    pytest.skip("no Python of this version that another account may run")

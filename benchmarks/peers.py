"""What the lab and the ML queue are measured beside: the sides, and the environment that some of them need."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from brokerlab.distribution import KAFKA_VERSION, Distribution
from kafka_folder import make_kafka_folder
from side import Side

ROOT = Path(__file__).resolve().parents[1]
SIDES = ROOT / "benchmarks" / "sides"
LOCK = ROOT / "benchmarks" / "requirements.lock"
ENVIRONMENT = ROOT / ".venv-bench"
PYTHON = ENVIRONMENT / "bin" / "python"

# Where trivup looks for this version before it would download it.
_KAFKA = f"KafkaCluster/KafkaBrokerApp/kafka/{KAFKA_VERSION}"

# Nothing of these lasts: a lab goes with its side, not a minute later. What stands beside it are processes too.
_LAB = {
    "BROKERLAB_HOME": "{folder}",
    "BROKERLAB_LINGER": "5",
    "BROKERLAB_RUNTIME": "local",
}


def lab(*options: str, python: str = sys.executable, **environ: str) -> Side:
    """Return a lab as learners start it; with ``--plain``, one with default flags and no archive."""
    name = "the lab without archive and tuned flags" if options else "the lab"
    return Side(name, [python, str(SIDES / "lab.py"), *options], {**_LAB, **environ})


def trivup(distribution: Distribution) -> Side:
    """Return a cluster that trivup starts, from the same jars."""
    environ = {
        "TRIVUP_ROOT": "{folder}",
        "PATH": f"{{folder}}/{_KAFKA}/bin:/usr/bin:/bin",
        # It leaves a file there at every start.
        "TMPDIR": "{folder}",
    }
    side = Side("trivup", [str(PYTHON), str(SIDES / "trivup_cluster.py"), KAFKA_VERSION], environ)
    make_kafka_folder(side.folder / _KAFKA, distribution)
    return side


def bare_loop(pictures: Path, begin: int, step: int) -> Side:
    """Return the recogniser in a bare loop, for every so manieth picture of a folder."""
    command = [sys.executable, str(SIDES / "bare_loop.py"), str(pictures), str(begin), str(step)]
    return Side("the bare loop", command, {})


def pool(pictures: Path, workers: int, kills: int = 0) -> Side:
    """Return the pictures of a folder in a `multiprocessing.Pool`, whose processes may be killed."""
    command = [sys.executable, str(SIDES / "pool.py"), str(pictures), str(workers), str(kills)]
    return Side("multiprocessing.Pool", command, {})


def celery(pictures: Path, workers: int, kills: int = 0, **settings: bool) -> Side:
    """Return the pictures of a folder in Celery with Redis, with some settings other than its defaults."""
    numbers = [str(workers), str(kills)]
    command = [str(PYTHON), str(SIDES / "celery_queue.py"), str(pictures), *numbers]
    # Recogniser and all that it needs are those of this environment.
    here = os.pathsep.join([str(ROOT / "helpers"), sysconfig.get_path("purelib")])
    return Side("Celery", [*command, json.dumps(settings)], {"PYTHONPATH": here})


def make_environment() -> None:
    """Make the environment of trivup and Celery, unless it is there and made from this lock."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    made_from = ENVIRONMENT / "made-from"
    if made_from.exists() and made_from.read_text() == digest:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
    # trivup comes as source only: it is built with the locked setuptools, which must be there first.
    builder = ENVIRONMENT / "setuptools.lock"
    builder.write_text(locked("setuptools"))
    for lock in (builder, LOCK):
        pip = [str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        build = ["--no-build-isolation", "--use-pep517"]
        subprocess.run([*pip, *build, "--require-hashes", "-r", str(lock)], check=True)
    made_from.write_text(digest)


def locked(package: str) -> str:
    """Return the lines of one package in the lock."""
    lines = LOCK.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(f"{package}=="))
    more = itertools.takewhile(lambda line: line.startswith(" "), lines[first + 1 :])
    return "\n".join([lines[first], *more, ""])

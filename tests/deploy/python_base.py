"""A stand-in for the image python:3.11-slim, with the wheels of deploy/requirements.lock, for machines that cannot pull it."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

import debian_image
from debian_image import run

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
LOCK = DEPLOY / "requirements.lock"
WHEELS = "opt/wheels"
PIP = f"[global]\nno-index = true\nfind-links = /{WHEELS}\n"


def image() -> str:
    """Return the name of an image that the daemon has: the Containerfile's own base if it can be had, else the stand-in."""
    real = re.findall(r"^ARG BASE=(\S+)$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)[0]
    return real if debian_image.pulled(real) else _build(real)


def _build(real: str) -> str:
    made_of = hashlib.sha256(Path(__file__).read_bytes() + LOCK.read_bytes())
    name = f"brokerlab-python:{made_of.hexdigest()[:12]}"
    if not debian_image.has(name):
        with debian_image.base_system(real, "python3", "python3-venv") as root:
            wheels = root / WHEELS
            wheels.mkdir()
            _fetch(wheels, (root / "usr/bin/python3").readlink().name.removeprefix("python"))
            (root / "etc/pip.conf").write_text(PIP)
            (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
            debian_image.import_folder(root, name, ["CMD python3"])
    return name


def _fetch(folder: Path, version: str) -> None:
    """Fetch the locked wheels, as the build would where it has a network."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
    which = ["--only-binary=:all:", "--python-version", version, "--dest", str(folder)]
    run(*pip, *which, "--require-hashes", "-r", str(LOCK))

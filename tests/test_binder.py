"""Binder's folder keeps the rules of repo2docker, and its scripts do in a plain copy what they are to do in an image."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BINDER = ROOT / "binder"
PREFERRED = {"Dockerfile", "environment.yml", "Project.toml", "Pipfile", "install.R", "default.nix"}
"""What repo2docker would build from instead of requirements.txt if it were there."""


def test_it_is_built_from_the_lock_and_from_nothing_else() -> None:
    files = {file.name for file in BINDER.iterdir()}
    assert files == {"README.md", "requirements.txt", "runtime.txt", "postBuild", "start"}
    assert not files & PREFERRED
    assert "-r ../requirements.lock" in (BINDER / "requirements.txt").read_text().splitlines()


def test_its_python_is_one_that_the_course_knows() -> None:
    name, _, version = (BINDER / "runtime.txt").read_text().strip().partition("-")
    assert name == "python" and (3, 11) <= tuple(map(int, version.split("."))) <= (3, 13)


@pytest.mark.parametrize("script", ["postBuild", "start"])
def test_a_script_can_be_run(script: str) -> None:
    assert (BINDER / script).stat().st_mode & 0o111 == 0o111
    assert (BINDER / script).read_text().startswith("#!/bin/bash\n")
    subprocess.run(["bash", "-n", BINDER / script], check=True)


def test_start_becomes_the_server_and_chooses_local() -> None:
    assert (BINDER / "start").read_text().splitlines()[-1] == 'exec "$@"'
    told = "import os; print(os.getpid(), os.environ['BROKERLAB_RUNTIME'])"
    server = subprocess.Popen(
        [BINDER / "start", sys.executable, "-c", told], stdout=subprocess.PIPE, text=True
    )
    assert server.communicate(timeout=30)[0].split() == [str(server.pid), "local"]


def test_post_build_installs_the_course_and_fills_the_cache(tmp_path: Path) -> None:
    here, environment = tmp_path / "repository", tmp_path / "environment"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, listed):
        if (file := ROOT / name).is_file():
            (here / name).parent.mkdir(parents=True, exist_ok=True)
            (here / name).write_bytes(file.read_bytes())
            (here / name).chmod(file.stat().st_mode)
    venv.create(environment, with_pip=True)
    # What requirements.txt would have installed is taken from the environment of this test, setuptools too.
    packages = sysconfig.get_path("purelib", vars={"base": str(environment)})
    for old in Path(packages).glob("setuptools*"):
        shutil.rmtree(old)
    Path(packages, "installed.pth").write_text(sysconfig.get_path("purelib"))
    settings = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    path = os.pathsep.join([str(environment / "bin"), os.environ["PATH"]])
    run = {"cwd": here, "env": settings | {"PATH": path}, "text": True, "capture_output": True}
    built = subprocess.run([here / "binder/postBuild"], timeout=300, **run)
    assert built.returncode == 0, built.stderr
    where = "import brokerlab; print(brokerlab.__file__)"
    found = subprocess.run([environment / "bin/python", "-c", where], timeout=60, **run)
    assert Path(found.stdout.strip()).is_relative_to(here)
    doctor = subprocess.run([environment / "bin/brokerlab", "doctor"], timeout=120, **run)
    jars = next(line for line in doctor.stdout.splitlines() if "jars" in line)
    assert jars.lstrip().startswith("✓")

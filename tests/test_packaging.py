"""The dependency lists agree: pyproject.toml, the lock files, conda's, and the console scripts."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from brokerlab.tools import TOOLS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LEARNERS = sorted([*PROJECT["dependencies"], *EXTRAS["install"], *EXTRAS["test"]])


def _name(requirement: str) -> str:
    return re.split(r"[<>=!~\[; ]", requirement)[0].lower()


def _locked(file: str) -> dict[str, str]:
    lines = (ROOT / file).read_text().splitlines()
    return dict(line.split(" ")[0].split("==") for line in lines if re.match(r"[a-z0-9].*==", line))


def test_conda_environment_has_the_same_requirements():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = [entry for entry in listed if isinstance(entry, str)]
    pip = next(entry["pip"] for entry in listed if isinstance(entry, dict))
    ours = sorted(entry for entry in [*conda, *pip] if _name(entry) not in ("python", "pip"))
    assert ours == LEARNERS
    assert f"python{PROJECT['requires-python']}" in conda


@pytest.mark.parametrize("file", ["requirements.lock", "requirements-dev.lock"])
def test_lock_holds_every_requirement(file):
    wanted = LEARNERS if file == "requirements.lock" else [*LEARNERS, *EXTRAS["dev"]]
    missing = {_name(requirement) for requirement in wanted} - set(_locked(file)) - {"brokerlab"}
    assert not missing


def test_both_locks_hold_the_same_versions():
    learners, developers = _locked("requirements.lock"), _locked("requirements-dev.lock")
    assert len(learners) > 50
    assert {name: developers.get(name) for name in learners} == learners


@pytest.mark.parametrize("file", ["requirements.lock", "requirements-dev.lock"])
def test_lock_has_hashes_and_no_address(file):
    text = (ROOT / file).read_text()
    assert text.count("--hash=sha256:") > len(_locked(file))
    assert "http" not in re.sub(r"^http[a-z]*==.*|^ +#.*|http(x|core)\b", "", text, flags=re.M)


def test_every_console_tool_is_a_command_of_the_environment():
    scripts = {
        name for name, target in PROJECT["scripts"].items() if target == "brokerlab.tools:main"
    }
    assert scripts == set(TOOLS)

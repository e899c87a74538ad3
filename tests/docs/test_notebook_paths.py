"""No notebook shows a path of the machine that built it, nor one of this machine."""

from __future__ import annotations

import re
from pathlib import Path

import build
import nbformat
import pytest
from pages import ROOT
from source import LessonError

NOTEBOOKS = sorted((ROOT / "notebooks").rglob("[0-9]*.ipynb"))
PATH = re.compile(
    r"(?<![\w.])/(?:home|root|Users|work|tmp|private|var/folders|mnt|srv|workspaces?)/[\w.-]+|[A-Z]:\\+Users\b"
)


def paths(text: str) -> list[str]:
    return sorted(set(PATH.findall(text)))


@pytest.mark.parametrize(
    "notebook", NOTEBOOKS, ids=lambda p: str(p.relative_to(ROOT / "notebooks"))
)
def test_a_notebook_shows_no_path_of_a_machine(notebook):
    text = notebook.read_text(encoding="utf-8")
    assert paths(text) == []
    build.refuse_leaks(notebook.name, nbformat.reads(text, as_version=4), ROOT, Path.home())


@pytest.mark.parametrize(
    "planted",
    [
        "/home/ada/brokerlab/notebooks",
        "'/Users/ada/.venv'",
        "file=/root/.cache",
        "/private/var/folders/x1",
        r"C:\\Users\\ada",
        "/tmp/bl-1234",
    ],
)
def test_a_planted_path_is_found(planted):
    assert paths(planted)


@pytest.mark.parametrize("fine", ["/brokers/ids", "/dev/stdin", "../data/home/1", "/controller"])
def test_a_znode_is_no_path_of_a_machine(fine):
    assert not paths(fine)


def test_a_planted_path_of_this_machine_is_refused():
    output = nbformat.v4.new_output("stream", text=f"kept in {ROOT}\n")
    cell = nbformat.v4.new_code_cell("print(place)", outputs=[output])
    with pytest.raises(LessonError, match="of this machine"):
        build.refuse_leaks("toy", nbformat.v4.new_notebook(cells=[cell]), ROOT, Path.home())

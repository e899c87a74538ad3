"""Each test that docs/faults.md names is there, and is marked as slow where the page says so."""

from __future__ import annotations

import re

import pytest
from pages import ROOT

PAGE = (ROOT / "docs" / "faults.md").read_text("utf-8")
ROWS = re.findall(r"^\| (∞ )?.+? \| .+ \| `(\S+)::(\w+)` \|$", PAGE, re.M)


def test_every_row_is_read():
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    assert len(ROWS) == len([line for line in lines if not line.startswith("| Fault ")])


@pytest.mark.parametrize(("slow", "file", "name"), ROWS, ids=[row[-1] for row in ROWS])
def test_a_named_test_is_there(slow, file, name):
    source = (ROOT / "tests" / file).read_text("utf-8")
    before, _, _ = source.partition(f"def {name}(")
    assert before != source, f"{file} has no {name}"
    own = before[before.rindex("\n\n\n") :]
    modules = re.search(r"^pytestmark = .+?\n\n", before, re.M | re.S)
    marks = own + (modules[0] if modules else "")
    assert ("pytest.mark.slow" in marks) == bool(slow)

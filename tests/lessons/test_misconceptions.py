"""The table of misconceptions names sections that exist, and quotes cells that are in them."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "misconceptions.md").read_text(encoding="utf-8")
ROWS = [
    tuple(part.strip() for part in line.strip("|").split(" | "))
    for line in TABLE.splitlines()
    if re.match(r"\| \d+ \|", line)
]


def test_all_sixteen_are_there():
    assert [int(row[0].strip("| ")) for row in ROWS] == list(range(1, 17))


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_the_proof_is_in_the_section(row):
    *_, where, proof = row
    link, section = re.fullmatch(r"\[\d\d\]\((\S+)\), (.+)", where).groups()
    notebook = nbformat.read((ROOT / "docs" / link).resolve(), as_version=4)
    quoted = proof.strip("| ").strip("`")
    assert quoted in _section(notebook, section)


def _section(notebook, heading: str) -> str:
    """Return all cells from a heading to the next of its level, outputs included."""
    found, inside = [], False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            before, *parts = re.split(r"^## ", cell.source, flags=re.M)
            for part in parts:
                inside = part.splitlines()[0].strip() == heading
                found += [part] if inside else []
            if not parts and inside:
                found.append(before)
        elif inside:
            found.append(cell.source)
            found += [output.get("text", "") for output in cell.outputs]
    assert found, f"there is no section {heading!r}"
    return "\n".join(found)

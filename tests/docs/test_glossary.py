"""Each term of the glossary is introduced in the lesson it names, and by none before it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import nbformat
import pytest
from pages import FENCED, ROOT

ROW = re.compile(
    r"^\| (?!term|-)(.+?) \| (.+) \| \[(\d\d)\]\(\.\./notebooks/(\w+)\.ipynb\) \|$", re.M
)
EMPHASISED = re.compile(r"(?<![*\w])\*{1,2}([^*\n]+?)\*{1,2}(?![*\w])")
TEXT = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ROWS = ROW.findall(TEXT)


@cache
def lesson(name: str) -> str:
    """Return all that a learner reads in a lesson: its text, and its code with the outputs' text left out."""
    cells = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells
    return "\n\n".join(cell.source for cell in cells)


@cache
def emphasised(name: str) -> frozenset[str]:
    """Return what a lesson sets in italics or bold, as it does with a word that is new."""
    found = EMPHASISED.findall(FENCED.sub("", lesson(name)))
    return frozenset(word.lower().strip("`") for word in found)


def forms(term: str) -> Iterator[str]:
    """Yield how a term may stand in a text: alone, by its short form, in the plural; `hot (partition)` as hot."""
    word, _, behind = term.partition(" (")
    for one in (word, *re.findall(r"^([A-Z]+)\)$", behind)):
        bare = one.strip("`").lower()
        plurals = (f"{bare}s", f"{bare}es", re.sub(r"y$", "ies", bare))
        yield from (bare, *plurals, bare.removesuffix("()"))


def uses(text: str, term: str) -> bool:
    flat = " ".join(text.lower().split())
    return any(re.search(rf"(?<!\w){re.escape(form)}(?!\w)", flat) for form in forms(term))


def introduced_before(term: str, name: str, names: list[str]) -> list[str]:
    earlier = [other for other in names if other < name]
    return [other for other in earlier if emphasised(other) & set(forms(term))]


NAMES = sorted({name for *_, name in ROWS})


@pytest.mark.parametrize(("term", "meaning", "number", "name"), ROWS, ids=[row[0] for row in ROWS])
def test_a_term_is_introduced_where_it_says(term, meaning, number, name):
    assert name.startswith(number)
    assert uses(lesson(name), term), f"lesson {number} does not use the word"
    assert introduced_before(term, name, NAMES) == []


def test_every_row_is_read_and_the_terms_are_in_order():
    lines = [line for line in TEXT.splitlines() if line.startswith("| ")]
    assert len(ROWS) == len(lines) - 1 > 80
    terms = [re.sub(r"^\W+", "", term.replace("_", " ").lower()).strip() for term, *_ in ROWS]
    assert terms == sorted(terms)
    assert len(set(terms)) == len(terms)


def test_a_meaning_is_one_sentence_or_two():
    for term, meaning, *_ in ROWS:
        assert meaning.endswith("."), term
        assert len(re.findall(r"[.:](?= [A-Z])|\.$", meaning)) <= 3, term


def test_a_planted_row_is_noticed():
    assert not uses(lesson("01_start_here"), "unclean leader election")
    assert introduced_before("topic", "04_topics", NAMES) == ["01_start_here"]
    assert introduced_before("offset", "07_replication_and_failover", NAMES) == [
        "06_partitions_and_keys"
    ]

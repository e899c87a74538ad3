"""Each sentence that docs/troubleshooting.md quotes is one that BrokerLab says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest
from pages import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
QUOTED = re.compile(r"^```text\n(.+?)^```$", re.M | re.S)
FINDING = re.compile(r"[✗!] ([^:]+): (.+) → (.+)")
SHORT, ENOUGH, LONG = 10, 18, 45


def quoted() -> list[str]:
    blocks = QUOTED.findall(PAGE.read_text(encoding="utf-8"))
    return [line for block in blocks for line in block.splitlines()]


@cache
def said() -> tuple[re.Pattern[str], ...]:
    """Return every text in the package, and in the Makefile, that is long enough to know it by."""
    texts = {
        text
        for path in (ROOT / "helpers").rglob("*.py")
        for text in _texts(path.read_text("utf-8"))
    }
    for echo in re.findall(r'echo "(.+?)"; exit', (ROOT / "Makefile").read_text("utf-8")):
        texts.add(tuple(re.split(r"\$\$\((?:\$\(\w+\)|[^()])*\)", echo)))
    return tuple(
        re.compile("(.*?)".join(map(re.escape, parts)), re.S)
        for parts in texts
        if sum(map(len, parts)) >= SHORT
    )


def _texts(source: str) -> Iterator[tuple[str, ...]]:
    """Yield the plain parts of each string of a module; between two of them there is a value."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            parts = [""]
            for value in node.values:
                if isinstance(value, ast.Constant):
                    parts[-1] += str(value.value)
                else:
                    parts.append("")
            # A place for str.format counts as a value as well.
            yield tuple(plain for part in parts for plain in re.split(r"\{\w+\}", part))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield (node.value,)


@cache
def known(sentence: str) -> int:
    """Return how many characters of a sentence the package says; a long value in it must be something that it says."""
    best = 0
    for pattern in said():
        if match := pattern.fullmatch(sentence):
            values = match.groups()
            said_of_them = [known(value) if len(value) > SHORT else 0 for value in values]
            if all(
                count or len(value) <= LONG
                for value, count in zip(values, said_of_them, strict=True)
            ):
                best = max(best, len(sentence) - sum(map(len, values)) + sum(said_of_them))
    return best


def is_said(sentence: str) -> bool:
    return known(sentence) >= ENOUGH


def is_found(line: str) -> bool:
    """Tell whether a line is one of the doctor's, with an advice that the package gives."""
    what, found, advice = FINDING.fullmatch(line).groups()
    doctor = (ROOT / "helpers/brokerlab/doctor.py").read_text("utf-8")
    return f'"{what}"' in doctor and (is_said(advice) or is_said(f"{found}: {advice}"))


@pytest.mark.parametrize("line", quoted())
def test_a_quoted_sentence_is_one_that_is_said(line):
    assert is_found(line) if FINDING.fullmatch(line) else is_said(line)


def test_the_page_quotes_many_and_none_twice():
    assert len(quoted()) > 60
    assert len(set(quoted())) == len(quoted())


@pytest.mark.parametrize(
    "line",
    [
        "No lab is running: start one with `brokerlab begin`, or with brokerlab.start() in a notebook.",
        "No lab is running",
        "3 brokers and ZooKeeper need 630 MB of memory and 174 MB are spare: close other programs, then start again.",
        "There is a problem: close other programs, then start again. Or do something else altogether, who knows.",
        "something that nobody has ever said: brokers are down.",
        "BrokerLab needs Python 3.8 or newer and found Python 3.7: install one, then call make with PYTHON=python3.x.",
    ],
)
def test_a_planted_sentence_is_none_of_them(line):
    assert not is_said(line)


@pytest.mark.parametrize(
    "line",
    [
        "! ports: 9092 taken by process 1 (java) → the lab takes other ports, as it likes to do",
        "! harbours: 9092 taken → the lab takes other ports, and the article's own commands, which name 2181 and 9092, cannot be run",
    ],
)
def test_a_planted_finding_is_none_of_them(line):
    assert not is_found(line)

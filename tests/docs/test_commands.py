"""What a page tells people to type exists: targets of the Makefile, commands of `brokerlab`."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from brokerlab import cli
from pages import FENCED, INLINE_CODE, ROOT, pages

MAKE = re.compile(r"(?:^|[`(] *|&& )make ([a-z]+)\b", re.M)
BROKERLAB = re.compile(r"(?:^|[`(] *|&& |bin/|[A-Z]=\S+ )brokerlab ([a-z]+)\b", re.M)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))


def commands() -> set[str]:
    (choices,) = [action.choices for action in cli._parser()._actions if action.choices]
    return set(choices)


def typed(markdown: str) -> str:
    """Return what stands in code blocks and between backticks, each on lines of its own."""
    blocks = [match[0] for match in FENCED.finditer(markdown)]
    spans = [match[0] for match in INLINE_CODE.finditer(FENCED.sub("", markdown))]
    return "\n".join([*blocks, *spans])


def unknown(markdown: str) -> Iterator[str]:
    text = typed(markdown)
    yield from (f"make {name}" for name in MAKE.findall(text) if name not in targets())
    yield from (f"brokerlab {name}" for name in BROKERLAB.findall(text) if name not in commands())


@pytest.mark.parametrize(
    "page", [p for p in pages() if p.suffix == ".md"], ids=lambda p: str(p.relative_to(ROOT))
)
def test_what_is_to_be_typed_exists(page):
    assert list(unknown(page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("markdown", "found"),
    [
        ("`make lunch`", ["make lunch"]),
        ("```\nmake test\nmake tests\n```", ["make tests"]),
        ("```\n.venv/bin/brokerlab begin\n```", ["brokerlab begin"]),
        ("`brokerlab start && make sure`", ["make sure"]),
        ("`BROKERLAB_CACHE=/srv/brokerlab brokerlab begin`", ["brokerlab begin"]),
        ("to make sure, `brokerlab stop --all`", []),
    ],
)
def test_a_planted_command_is_found(markdown, found):
    assert list(unknown(markdown)) == found

"""Every link that stays in the project leads somewhere, headings included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from pages import ROOT, anchors, pages, relative_links


def broken(root: Path) -> Iterator[str]:
    for page in pages(root):
        for target in relative_links(page):
            path, _, anchor = unquote(target).partition("#")
            leads_to = (page.parent / path).resolve() if path else page
            where = f"{page.relative_to(root)}: {target}"
            if not leads_to.exists() or not leads_to.is_relative_to(root):
                yield f"{where} leads nowhere"
            elif (
                anchor and leads_to.suffix in (".md", ".ipynb") and anchor not in anchors(leads_to)
            ):
                yield f"{where}: there is no such heading"


def test_every_link_leads_somewhere():
    assert len(pages()) > 20
    assert list(broken(ROOT)) == []


@pytest.fixture
def project(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/two.md").write_text("# Two\n\n## What's `new`?\n\n## Again\n\n## Again\n")
    cells = [nbformat.v4.new_markdown_cell("# A title\n\n## Clean up\n\n[two](docs/two.md#again)")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "one.ipynb")
    return tmp_path


@pytest.mark.parametrize(
    "link",
    [
        "[a](docs/two.md)",
        "[a](docs/two.md#whats-new)",
        "[a](docs/two.md#again-1)",
        "[a](docs)",
        "[a](one.ipynb#Clean-up)",
        "[a](#here)",
        "[a](https://kafka.apache.org/nowhere)",
        '<img src="docs/two.md">',
        "`[a](in_code.md)`",
        "```\n[a](in_code.md)\n```",
    ],
)
def test_a_good_link_is_none_of_the_broken(project, link):
    (project / "page.md").write_text(f"# Here\n\n{link}\n")
    assert list(broken(project)) == []


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("[a](docs/three.md)", "page.md: docs/three.md leads nowhere"),
        ("[a](../elsewhere.md)", "page.md: ../elsewhere.md leads nowhere"),
        ("[a](docs/two.md#old)", "page.md: docs/two.md#old: there is no such heading"),
        ("[a](docs/two.md#again-2)", "page.md: docs/two.md#again-2: there is no such heading"),
        ("[a](one.ipynb#clean-up)", "page.md: one.ipynb#clean-up: there is no such heading"),
        ("[a](#there)", "page.md: #there: there is no such heading"),
        ("![a](lost.png)", "page.md: lost.png leads nowhere"),
    ],
)
def test_a_broken_link_is_named(project, link, said):
    (project / "page.md").write_text(f"# Here\n\n{link}\n")
    assert list(broken(project)) == [said]


def test_a_notebook_is_looked_at_too(project):
    (project / "docs/two.md").write_text("# Two\n")
    assert list(broken(project)) == ["one.ipynb: docs/two.md#again: there is no such heading"]

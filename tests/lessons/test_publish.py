"""The pages to read: a toy course with every kind of link, then the course itself, whose links all resolve."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import publish
import pytest

ROOT = Path(__file__).resolve().parents[2]
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9" aria-label="A &quot;map&quot;"></svg>'
FIRST = """\
# 01 · First

**Who is first?**

### What you'll need
5 minutes. [Next](02_second.ipynb#A-part), [the terms](../docs/terms.md#a-word), <a href="../data/a.csv">data</a>,
![a picture](images/a.png), [elsewhere](https://kafka.example/).

```mermaid
flowchart LR
    a[one < two] --> b[("three")]
```
"""
SECOND = """\
# 02 · Second

**Who is `second`?**

### What you'll need
7 minutes.

## A part
Back to [the first](01_first.ipynb).
"""


class Links(HTMLParser):
    """What a page links to, what it loads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.tags: set[str] = set()
        self.texts: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.add(tag)
        self.ids.update(filter(None, [found.get("id")]))
        if tag == "a":
            self.links.append(found.get("href", ""))
        elif address := found.get("src") or found.get("srcset") or found.get("href"):
            self.loads.append(address)
        if tag == "img":
            self.texts[found["src"]] = found.get("alt", "")


@pytest.fixture
def course(tmp_path):
    """A course of two lessons, with still pictures and all kinds of links."""
    root = tmp_path / "course"
    for name in ("notebooks/solutions", "notebooks/images", "docs", "data"):
        (root / name).mkdir(parents=True)
    (root / "docs/terms.md").write_text(
        "# Terms\n\n## A `word`?\nSee [data](../data) and [this](#a-word).\n"
    )
    (root / "data/README.md").write_text("# Data\n\n[All](a.csv)\n")
    (root / "data/a.csv").write_text("1,2\n")
    (root / "notebooks/images/a.png").write_bytes(b"PNG")
    write(root, "01_first", FIRST)
    write(
        root,
        "solutions/01_first",
        FIRST.replace("](../", "](../../")
        .replace('="../', '="../../')
        .replace("(images", "(../images"),
    )
    write(root, "02_second", SECOND)
    write(root, "solutions/02_second", SECOND)
    write(root, "02_second-Copy1", "# Mine")
    return root


def write(root, name, text):
    code = nbformat.v4.new_code_cell("!ls && print('<b>')", execution_count=1)
    code.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="a <b> & c\n"),
        nbformat.v4.new_output("display_data", {"image/svg+xml": SVG, "text/plain": "<Map>"}),
        nbformat.v4.new_output("display_data", {"text/html": "<i>told</i>", "text/plain": "told"}),
    ]
    cells = [nbformat.v4.new_markdown_cell(text), code]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), root / "notebooks" / f"{name}.ipynb")


def read(folder, name):
    return (folder / name).read_text(encoding="utf-8")


def test_a_lesson_becomes_a_page_with_its_outputs_and_neighbours(course, tmp_path, capsys):
    assert publish.main(["--to", str(tmp_path / "site")], course) == 0
    assert capsys.readouterr().out.startswith("7 pages: open ")
    shown = read(tmp_path / "site", "01_first.html")
    assert "<title>01 · First · BrokerLab</title>" in shown
    assert "a &lt;b&gt; &amp; c" in shown and "<i>told</i>" in shown and "&lt;Map&gt;" not in shown
    assert 'A "map"' in Links(shown).texts.values()
    assert '<a href="02_second.html" rel="next">02 · Second' in shown and 'rel="prev"' not in shown
    assert 'href="solutions/01_first.html">with the solutions' in shown
    solved = read(tmp_path / "site", "solutions/01_first.html")
    assert (
        'href="../01_first.html">without the solutions' in solved and 'href="../page.css"' in solved
    )
    second = read(tmp_path / "site", "02_second.html")
    assert '<a href="01_first.html" rel="prev">' in second and 'rel="next"' not in second


def test_the_contents_list_every_lesson_with_its_question(course, tmp_path):
    publish.build(course, tmp_path / "site")
    shown = read(tmp_path / "site", "index.html")
    assert '<a href="01_first.html">01 · First</a>' in shown and "Who is first?" in shown
    assert (
        "Who is <code>second</code>?" in shown and "7\u00a0minutes" in shown and "Mine" not in shown
    )


def test_links_lead_to_pages_and_files_of_the_site(course, tmp_path):
    publish.build(course, tmp_path / "site")
    shown = read(tmp_path / "site", "01_first.html")
    for address in (
        "02_second.html#A-part",
        "docs/terms.html#a-word",
        "assets/data/a.csv",
        "https://kafka.example/",
    ):
        assert f'href="{address}"' in shown
    assert 'src="assets/notebooks/images/a.png"' in shown
    assert 'href="../data/README.html"' in read(tmp_path / "site", "docs/terms.html")
    assert 'href="../assets/data/a.csv"' in read(tmp_path / "site", "data/README.html")
    assert broken(tmp_path / "site") == []


def test_a_diagram_is_a_picture_for_light_and_dark_with_its_words(course, tmp_path):
    publish.build(course, tmp_path / "site")
    shown = read(tmp_path / "site", "01_first.html")
    assert "mermaid" not in shown and "flowchart" not in shown
    light, dark = (
        re.search(rf'"(diagrams/\w+-{theme}\.svg)"', shown)[1] for theme in ("light", "dark")
    )
    assert 'alt="Diagram: one &lt; two, three"' in shown
    assert read(tmp_path / "site", light) != read(tmp_path / "site", dark)
    assert f'src="../{light}"' in read(tmp_path / "site", "solutions/01_first.html")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda root: write(root, "02_second", SECOND + "[x](../gone.md)"),
            "links to ../gone.md, which is no file",
        ),
        (
            lambda root: write(root, "02_second", SECOND + "[x](../../out.md)"),
            "notebooks/02_second.ipynb links to",
        ),
        (
            lambda root: write(root, "02_second", SECOND + "\n```mermaid\nno diagram\n```\n"),
            "Mermaid cannot draw",
        ),
        (lambda root: write(root, "02_second", "# Second"), "02_second has no title"),
        (lambda root: [p.unlink() for p in root.rglob("*.ipynb")], "There is no lesson in"),
    ],
    ids=["a link to nothing", "a link out", "no diagram", "no title", "no lesson"],
)
def test_what_cannot_be_built_is_one_sentence_and_the_old_site_stays(
    course, tmp_path, capsys, change, said
):
    (course.parent / "out.md").write_text("# Out")
    publish.build(course, tmp_path / "site")
    before = read(tmp_path / "site", "02_second.html")
    change(course)
    assert publish.main(["--to", str(tmp_path / "site")], course) == 1
    assert said in capsys.readouterr().err
    assert read(tmp_path / "site", "02_second.html") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["course", "out.md", "site"]


def test_a_site_is_replaced_whole_and_nothing_else_is(course, tmp_path, capsys):
    publish.build(course, tmp_path / "site")
    (tmp_path / "site" / "left.html").touch()
    publish.build(course, tmp_path / "site")
    assert not (tmp_path / "site" / "left.html").exists()
    assert publish.main(["--to", str(course)], course) == 1
    assert "holds something else than a site" in capsys.readouterr().err
    assert (course / "docs/terms.md").exists()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages") / "site"
    publish.build(ROOT, folder)
    return folder


def broken(site):
    """Return the links of a site that lead nowhere, with their pages."""
    parsed = {
        page.resolve(): Links(page.read_text(encoding="utf-8")) for page in site.rglob("*.html")
    }
    found = []
    for page, seen in parsed.items():
        for address in [*seen.links, *seen.loads]:
            parts = urlsplit(address)
            if parts.scheme:
                continue
            path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            anchors = {parts.fragment, unquote(parts.fragment)}
            if not path.is_file() or (parts.fragment and not anchors & parsed[path].ids):
                found.append(f"{page.relative_to(site)}: {address}")
    return found


def test_a_broken_link_would_be_seen(course, tmp_path):
    publish.build(course, tmp_path / "site")
    page = tmp_path / "site" / "01_first.html"
    page.write_text(page.read_text().replace("#A-part", "#No-part").replace("a.png", "b.png"))
    assert broken(tmp_path / "site") == [
        "01_first.html: 02_second.html#No-part",
        "01_first.html: assets/notebooks/images/b.png",
    ]


def test_every_lesson_is_there_and_every_link_resolves(site):
    notebooks = [p.stem for p in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")]
    assert len(notebooks) >= 11
    for name in notebooks:
        assert (site / f"{name}.html").exists() and (site / "solutions" / f"{name}.html").exists()
    assert broken(site) == []


def test_pages_load_nothing_from_elsewhere_and_run_nothing(site):
    for page in site.rglob("*.html"):
        seen = Links(page.read_text(encoding="utf-8"))
        assert not seen.tags & {"script", "iframe", "object", "embed"}, page.name
        assert [one for one in seen.loads if urlsplit(one).scheme not in ("", "data")] == [], (
            page.name
        )
        assert all(seen.texts.values()), f"{page.name} has a picture without words"
    styles = [(site / "page.css").read_text(), *(p.read_text() for p in site.rglob("*.svg"))]
    assert all("@import" not in text and "url(http" not in text for text in styles)


def test_every_diagram_of_the_course_is_drawn(site):
    for notebook in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"):
        cells = nbformat.read(notebook, as_version=4).cells
        wanted = sum(cell.source.count("```mermaid") for cell in cells)
        shown = read(site, f"{notebook.stem}.html")
        assert shown.count('<figure class="diagram">') == wanted and "```" not in shown

"""The pages to read in Chromium, from files and without a network: they are whole, light and dark."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "artifacts" / "browser"
sys.path.insert(0, str(ROOT / "lessons"))

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    import publish

    folder = tmp_path_factory.mktemp("pages") / "site"
    publish.build(ROOT, folder)
    return folder


@pytest.fixture(params=["light", "dark"])
def reader(request, browser):
    """A page of a browser without a network, and what it asked for and complained of."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 720}, color_scheme=request.param, offline=True
    )
    page = context.new_page()
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield request.param, page, asked, complaints
    context.close()


def test_every_page_is_whole_without_a_network(site, reader):
    scheme, page, asked, complaints = reader
    for file in sorted(site.rglob("*.html")):
        page.goto(file.as_uri())
        page.wait_for_load_state("load")
        empty = page.evaluate(
            "() => [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"
        )
        assert empty == [], file.name
        assert page.evaluate("() => document.body.scrollWidth <= window.innerWidth"), file.name
        wrong = page.evaluate(
            """scheme => [...document.querySelectorAll('.diagram img')]
                .map(i => i.currentSrc).filter(s => !s.endsWith(`-${scheme}.svg`))""",
            scheme,
        )
        assert wrong == [], file.name
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert complaints == []


def test_words_can_be_read_and_pages_lead_on(site, reader):
    scheme, page, _, _ = reader
    page.goto((site / "index.html").as_uri())
    _picture(page, f"contents-{scheme}")
    page.get_by_role("link", name="01 · Start here").click()
    assert page.locator("h1").inner_text().startswith("01 · Start here")
    _picture(page, f"lesson-{scheme}")
    page.locator(".jp-RenderedSVG").first.scroll_into_view_if_needed()
    _picture(page, f"still-{scheme}")
    for kind in ("body p", "pre .k, pre .kn", "pre .s2", ".jp-RenderedHTML strong", "a"):
        assert _contrast(page, kind) >= 4.5, kind
    page.locator("a[rel=next]").click()
    assert page.locator("h1").inner_text().startswith("02 · Why a queue?")
    page.get_by_role("link", name="with the solutions").click()
    page.locator("a[rel=prev]").click()
    page.get_by_role("link", name="without the solutions").click()
    assert page.url == (site / "01_start_here.html").as_uri()


def _contrast(page, selector):
    """Return the least contrast of an element's words with the ground behind them, as WCAG 2 counts it."""
    return page.evaluate(
        """selector => {
            const parts = colour => colour.match(/[\\d.]+/g).map(Number);
            const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
                .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
                .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
            const ground = element => {
                for (let at = element; at; at = at.parentElement) {
                    const found = parts(getComputedStyle(at).backgroundColor);
                    if (found.length === 3 || found[3] === 1) return found;
                }
                return [255, 255, 255];
            };
            return Math.min(...[...document.querySelectorAll(selector)].map(element => {
                const pair = [light(parts(getComputedStyle(element).color)), light(ground(element))];
                return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
            }));
        }""",
        selector,
    )


def _picture(page, name):
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"pages-{name}.png")

"""The progress page in JupyterLab: it tells what has passed, light and dark, and a title opens its lesson."""

from __future__ import annotations

import pytest
from brokerlab.exercises import passes

pytestmark = pytest.mark.browser


def test_the_page_tells_what_has_passed_and_opens_a_lesson(open_notebook):
    notebook = open_notebook("index.ipynb")
    notebook.run_all(60)
    assert notebook.failures() == []
    page = notebook.page
    before = notebook.outputs("exercises passed on this machine").inner_text()
    assert before.startswith("0 of ") and ", 0 of " in before and ": passed on " not in before
    for exercise in (1, 2):
        passes.record("01_start_here", exercise)
    notebook.run_all(60)
    after = notebook.outputs("exercises passed on this machine").inner_text()
    assert after.startswith("1 of ") and ", 2 of " in after and after.count(": passed on ") == 2
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        notebook.theme(theme)
        notebook.show("brokerlab.course()")
        notebook.picture(theme.split()[1].lower())
    page.get_by_role("link", name="02 · Why a queue?").click()
    page.wait_for_selector("h1:has-text('02 · Why a queue?')", timeout=60_000)
    assert notebook.errors == []

"""The scale board in a real JupyterLab: every control used, and what the queue then does."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.cluster]

START = """
import brokerlab
from brokerlab.mlqueue import MLQueue
from brokerlab.pipeline.scenes import scene
from brokerlab.widgets import ScaleBoard

lab = brokerlab.start(brokers=3)
queue = MLQueue(lab, "scale")
for part in ("relay", "collector"):
    queue.start(part)
queue.start("api", backlog_limit=100)
picture = scene(15, 0, 320).picture
"""


def test_lag_grows_is_refused_and_drained_by_click(open_notebook, write_notebook):
    write_notebook(
        "scale_board.ipynb",
        START.strip(),
        "board = ScaleBoard(queue, lambda number: picture)\nboard",
        "board.close()\nqueue.end()",
    )
    notebook = open_notebook("scale_board.ipynb")
    notebook.run_cells(2)
    notebook.shows("[data-headline=empty]")
    notebook.show("ScaleBoard(queue")
    notebook.press("scale", "burst")
    notebook.page.locator(".bl-stage [data-headline=warned]", has_text="Full: 100").wait_for(
        timeout=60_000
    )
    limit = notebook.page.locator(".bl-stage [data-limit='100']")
    limit.wait_for(state="attached", timeout=30_000)  # a level line has no height to be seen by
    notebook.picture("full")
    slide(notebook, "workers", "End")
    notebook.shows('[data-figure=workers][data-value="6"]', 90)
    notebook.shows('[data-figure=lag][data-value="0"]', 90)
    notebook.page.locator("select[data-input=scaling]").select_option("autoscaler")
    notebook.shows('[data-figure=workers][data-value="1"]', 90)
    slide(notebook, "per_worker", "Home")
    slide(notebook, "rate", "End")
    notebook.wait_until(lambda: figure(notebook, "workers") > 1, 90)
    notebook.picture("autoscaler")
    notebook.theme("JupyterLab Dark")
    notebook.picture("autoscaler-dark")
    slide(notebook, "rate", "Home")
    notebook.wait_until(lambda: figure(notebook, "come / s") == 0, 60)
    notebook.theme("JupyterLab Light")
    notebook.run_cells(3)
    assert notebook.errors == []


def slide(notebook, name: str, key: str) -> None:
    """Move a slider to an end by keyboard."""
    slider = notebook.page.locator(f'.bl-inputs [data-input="{name}"]')
    slider.focus()
    slider.press(key)


def figure(notebook, name: str) -> int:
    """Return a figure of the board; -1 while it is not known."""
    told = notebook.page.locator(f'.bl-stage [data-figure="{name}"]').get_attribute("data-value")
    return int(told) if told and told.isdecimal() else -1

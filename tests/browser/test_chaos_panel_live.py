"""The chaos panel in a real JupyterLab: every button pressed, and what the queue and the audit then say."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.cluster]

START = """
import brokerlab
from brokerlab.mlqueue import MLQueue
from brokerlab.widgets import ChaosPanel

lab = brokerlab.start(brokers=3)
queue = MLQueue(lab)
queue.begin(workers=2)
"""


@pytest.mark.timeout(600)
def test_parts_and_nodes_die_by_click_and_nothing_is_missing(open_notebook, write_notebook):
    write_notebook(
        "chaos_panel.ipynb",
        START.strip(),
        "panel = ChaosPanel(queue)\npanel.set(pictures=200, rate=40)\npanel",
        "panel.close()\nqueue.end()",
    )
    notebook = open_notebook("chaos_panel.ipynb")
    notebook.run_cells(2)
    notebook.shows("[data-part=collector][data-state=running]")
    notebook.show("ChaosPanel(queue)")
    notebook.press("panel", "send")
    notebook.shows("[data-camera=sends]")
    notebook.press("relay", "kill")
    notebook.shows("[data-part=relay][data-state=killed]")
    notebook.picture("relay-killed")
    notebook.press("relay", "start")
    notebook.shows("[data-part=relay][data-state=running]", 60)
    notebook.press("worker-1", "pause")
    notebook.shows("[data-part=worker-1][data-state=paused]")
    notebook.press("worker-1", "resume")
    notebook.shows("[data-part=worker-1][data-state=running]")
    notebook.press("broker-2", "kill")
    notebook.shows("[data-node=broker-2][data-state=killed]")
    notebook.press("zookeeper", "pause")
    notebook.shows("[data-node=zookeeper][data-state=paused]")
    notebook.picture("two-nodes-down")
    notebook.press("panel", "repair")
    notebook.shows("[data-node=zookeeper][data-state=running]", 60)
    notebook.shows("[data-node=broker-2][data-state=running]", 60)
    notebook.shows('[data-figure=accepted][data-value="200"]', 60)
    notebook.shows("[data-headline=fine]", 90)
    notebook.shows('[data-figure=missing][data-value="0"]')
    notebook.press("panel", "audit")
    notebook.page.locator(".bl-notice", has_text="accepted 200 = done").wait_for(timeout=60_000)
    notebook.picture("calm")
    notebook.theme("JupyterLab Dark")
    notebook.press("panel", "storm")
    notebook.page.locator(".bl-stage [data-headline=warned]", has_text="Storm: ").wait_for(
        timeout=30_000
    )
    notebook.page.wait_for_selector(
        '.bl-stage [aria-label="kill relay"][aria-disabled=true]', timeout=30_000
    )
    notebook.picture("storm-dark")
    notebook.page.locator(".bl-stage", has_text="the storm is over").wait_for(timeout=240_000)
    notebook.shows("[data-headline=fine]", 90)
    notebook.shows('[data-figure=missing][data-value="0"]')
    notebook.picture("after-the-storm-dark")
    notebook.run_cells(3)
    assert notebook.errors == []

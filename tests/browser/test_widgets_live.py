"""The widgets in a real JupyterLab over a real cluster: what a click does is what the cluster then shows."""

from __future__ import annotations

import brokerlab
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.cluster]

START = """
import brokerlab
from brokerlab.widgets import ClusterMap, TwinConsoles

lab = brokerlab.start(brokers=3)
lab.delete_topics("photos")
!kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic photos --partitions 6 --replication-factor 3
"""


@pytest.fixture
def notebook(open_notebook, write_notebook):
    """Open a notebook that starts the lab and shows both widgets."""
    write_notebook(
        "live_widgets.ipynb",
        START.strip(),
        "cluster = ClusterMap(lab)\ncluster",
        'consoles = TwinConsoles(lab, "photos")\nconsoles',
        "import time\n\n_ = [time.sleep(0.1) for _ in range(200)]",
    )
    return open_notebook("live_widgets.ipynb")


def test_killing_a_broker_by_a_click(notebook):
    notebook.run_cells(2)
    page = notebook.page
    broker = '[data-node="broker-2"]'
    page.wait_for_selector(f"{broker}[data-state=running]", timeout=30_000)
    page.wait_for_selector('[data-role=leader][data-partition^="photos"]', timeout=30_000)
    notebook.show("ClusterMap(lab)")
    notebook.picture("map")
    notebook.press("broker-2", "kill")
    page.wait_for_selector(f"{broker}[data-state=killed]", timeout=20_000)
    notebook.picture("killed")
    page.wait_for_selector('[data-link="broker-2"][data-state=broken]', timeout=20_000)
    said = page.locator(".bl", has_text="broker-2 killed in")
    said.wait_for(timeout=30_000)
    notebook.picture("noticed")
    notebook.theme("JupyterLab Dark")
    notebook.picture("noticed-dark")
    notebook.press("broker-2", "start")
    page.wait_for_selector(f"{broker}[data-state=running]", timeout=40_000)
    assert notebook.errors == []


def test_typing_in_one_console_shows_in_the_other(notebook):
    notebook.run_cells(3)
    page = notebook.page
    notebook.show("TwinConsoles(lab")
    field = page.locator(".bl input")
    field.wait_for(timeout=30_000)
    field.fill("a picture of a cat")
    field.press("Enter")
    received = page.locator('[data-pane="consumer"]', has_text="a picture of a cat")
    received.wait_for(timeout=40_000)
    notebook.picture("consoles")
    notebook.theme("JupyterLab Dark")
    notebook.picture("consoles-dark")
    assert notebook.errors == []


def test_the_map_follows_while_a_cell_is_busy(notebook):
    """The picture comes from threads of its own; a click made meanwhile is kept."""
    notebook.run_cells(2)
    page = notebook.page
    page.wait_for_selector('[data-node="broker-3"][data-state=running]', timeout=30_000)
    notebook.run_cells(3)
    notebook.run_cells(4, wait=False)
    notebook.wait_until(lambda: notebook.code_cells()[3]["running"], 20)
    brokerlab.attach().brokers[3].pause()
    page.wait_for_selector('[data-node="broker-3"][data-state=paused]', timeout=20_000)
    assert notebook.code_cells()[3]["running"], "the cell was to be busy all the time"
    notebook.show("ClusterMap(lab)")
    notebook.press("broker-3", "resume")
    page.wait_for_selector('[data-node="broker-3"][data-state=running]', timeout=60_000)
    assert notebook.errors == []

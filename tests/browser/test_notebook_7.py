"""Jupyter Notebook 7, for those who prefer it to JupyterLab: the widgets appear there, and their controls work."""

from __future__ import annotations

import pytest
from fronts import NOTEBOOK_7, Front

pytest.importorskip("notebook", reason="Jupyter Notebook is not installed: `make dev` does it")
pytestmark = [pytest.mark.browser, pytest.mark.cluster]

START = """
import brokerlab
from brokerlab.widgets import ClusterMap, TwinConsoles

lab = brokerlab.start(brokers=3)
lab.delete_topics("photos")
!kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic photos --partitions 3 --replication-factor 3
"""


@pytest.fixture(scope="module")
def front() -> Front:
    return NOTEBOOK_7


def test_widgets_appear_and_their_controls_work(open_notebook, write_notebook):
    write_notebook(
        "notebook_7.ipynb",
        START.strip(),
        "cluster = ClusterMap(lab)\ncluster",
        'consoles = TwinConsoles(lab, "photos")\nconsoles',
    )
    notebook = open_notebook("notebook_7.ipynb")
    assert notebook.page.url.endswith("/notebooks/notebook_7.ipynb")
    notebook.run_cells(3)
    notebook.show("ClusterMap(lab)")
    notebook.press("broker-2", "kill")
    notebook.shows('[data-node="broker-2"][data-state=killed]')
    notebook.page.locator(".bl", has_text="broker-2 killed in").wait_for(timeout=30_000)
    notebook.picture("killed")
    notebook.press("broker-2", "start")
    notebook.shows('[data-node="broker-2"][data-state=running]', 60)
    notebook.show("TwinConsoles(lab")
    field = notebook.page.locator(".bl input")
    field.wait_for(timeout=30_000)
    field.fill("a picture of a cat")
    field.press("Enter")
    received = notebook.page.locator('[data-pane="consumer"]', has_text="a picture of a cat")
    received.wait_for(timeout=40_000)
    notebook.theme("JupyterLab Dark")
    notebook.picture("consoles-dark")
    assert notebook.errors == []

"""The migration line in a real JupyterLab: every step taken by its button, and the map of what became of the lab."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.cluster]

START = """
import brokerlab
from brokerlab.widgets import ClusterMap, MigrationLine

lab = brokerlab.start(brokers=3, name="old", runtime="local")
"""


def test_a_lab_is_migrated_by_click(open_notebook, write_notebook):
    write_notebook(
        "migration_line.ipynb",
        START.strip(),
        "line = MigrationLine(lab)\nline",
        'assert lab.mode == "kraft"\nline.close()\nview = ClusterMap(lab)\nview',
        "view.close()\nlab.stop()",
    )
    notebook = open_notebook("migration_line.ipynb")
    notebook.run_cells(2)
    notebook.show("MigrationLine(lab")
    lane = '[data-lane="znode /controller"]'
    notebook.shows(f'{lane}:has-text("broker")')
    for step, shows in (
        ("start_controller", '[data-lane="quorum\'s leader"]:has-text("controller 3001")'),
        ("join_brokers", f'{lane}:has-text("controller 3001")'),
        ("move_brokers", '[data-headline=fine]:has-text("way back")'),
        ("finalise", '[data-lane="broker 1"]:has-text("follows")'),
        ("stop_zookeeper", '[data-headline=fine]:has-text("no ZooKeeper any more")'),
    ):
        notebook.press("steps", step)
        notebook.page.locator(".bl-notice", has_text=f"{step}:").wait_for(timeout=90_000)
        notebook.page.locator(f".bl-stage {shows}").first.wait_for(timeout=30_000)
        notebook.picture(step)
    notebook.theme("JupyterLab Dark")
    notebook.picture("dark")
    notebook.run_cells(3)
    notebook.show("ClusterMap(lab")
    notebook.press("controller-1", "kill")
    notebook.shows('[data-node="controller-1"][data-state=killed]')
    notebook.picture("map-dark")
    notebook.press("controller-1", "start")
    notebook.shows('[data-node="controller-1"][data-state=running]', 60)
    notebook.theme("JupyterLab Light")
    notebook.picture("map")
    notebook.run_cells(4)
    assert notebook.errors == []

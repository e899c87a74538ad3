"""The connector board in a real JupyterLab: every button used, and what Kafka Connect then does."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.cluster]

START = """
import brokerlab
from brokerlab.widgets import ConnectorBoard

lab = brokerlab.start(brokers=3)
lab.connect.start()
source = lab.connect.files / "in.txt"
source.write_text("one\\n")
config = {"topic.creation.default.replication.factor": 3, "topic.creation.default.partitions": 1}
config |= {"connector.class": "FileStreamSource", "file": source, "topic": "lines"}
lab.connect.put("lines-in", config)
sink = {"connector.class": "FileStreamSink", "file": source.with_name("out.txt")}
lab.connect.put("lines-out", sink | {"topics": "lines"})
"""
ROW = "connector-lines-in"


def test_connectors_rest_and_a_worker_dies_and_comes_back_by_click(open_notebook, write_notebook):
    write_notebook(
        "connector_board.ipynb",
        START.strip(),
        'board = ConnectorBoard(lab, {"lines-in": lambda: len(source.read_text().splitlines())})\nboard',
        'source.open("a").write("two\\n")',
        "board.close()\nlab.connect.clear()",
    )
    notebook = open_notebook("connector_board.ipynb")
    notebook.run_cells(2)
    notebook.show("ConnectorBoard(lab, ")
    notebook.shows("[data-connector=lines-in][data-state=RUNNING]")
    notebook.shows("[data-headline=fine]")
    notebook.press(ROW, "pause")
    notebook.shows("[data-connector=lines-in][data-state=PAUSED]")
    notebook.run_cells(3)
    notebook.show("ConnectorBoard(lab, ")
    notebook.page.locator(".bl-stage [data-headline=warned]", has_text="1 wait").wait_for()
    notebook.picture("rests")
    notebook.press(ROW, "resume")
    notebook.shows("[data-headline=fine]")
    notebook.press("worker", "kill")
    notebook.shows("[data-connector=lines-in][data-state=killed]")
    notebook.picture("killed")
    notebook.press("worker", "start")
    notebook.shows("[data-connector=lines-in][data-state=RUNNING]", 60)
    notebook.press("worker", "stop")
    notebook.shows("[data-connector=lines-in][data-state=stopped]")
    for theme in ("Light", "Dark"):
        notebook.theme(f"JupyterLab {theme}")
        notebook.picture(theme.lower())
    notebook.run_cells(4)
    assert notebook.errors == []

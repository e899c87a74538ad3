"""The request board in a real JupyterLab: a scene is clicked together, sent, and comes back with boxes."""

from __future__ import annotations

from pathlib import Path

import pytest
from brokerlab.pipeline.scenes import scene

pytestmark = [pytest.mark.browser, pytest.mark.cluster]

START = """
import brokerlab
from brokerlab.mlqueue import MLQueue
from brokerlab.widgets import RequestBoard

lab = brokerlab.start(brokers=3)
queue = MLQueue(lab)
queue.begin(workers=1, nice=10)
"""


@pytest.fixture
def notebook(open_notebook, write_notebook):
    cells = ("board = RequestBoard(queue)\nboard", 'queue.kill("worker-1")', "queue.end()")
    write_notebook("request_board.ipynb", START.strip(), *cells)
    opened = open_notebook("request_board.ipynb")
    opened.run_cells(2)
    opened.shows(".bl-picture")
    opened.show("RequestBoard(queue)")
    yield opened
    assert opened.errors == []


def click(notebook, label: str) -> None:
    control = f'.bl-stage [role=button][aria-label="{label}"]:not([aria-disabled])'
    notebook.page.locator(control).click(timeout=30_000)


def told(notebook, words: str) -> None:
    notebook.page.locator(".bl-notice", has_text=words).wait_for(timeout=30_000)


def test_a_scene_is_clicked_together_and_comes_back_with_boxes(notebook):
    for label, place in (("banana", "96, 96"), ("teddy bear", "224, 224")):
        click(notebook, f"choose {label}")
        click(notebook, f"put {label} at {place}")
    notebook.shows('image[aria-label="2 objects"]')
    notebook.press("desk", "send")
    notebook.shows("[data-mine=done]", 60)
    for label in ("banana", "teddy bear"):
        notebook.shows(f'.bl-found[data-found="{label}"]')
    notebook.press("desk", "burst")
    notebook.shows('[data-figure="done"][data-value="201"]', 90)
    notebook.shows("[data-shot=done]")
    for theme in ("Light", "Dark"):
        notebook.theme(f"JupyterLab {theme}")
        notebook.picture(theme.lower())
    notebook.press("desk", "clear")
    told(notebook, "The scene is empty")


def test_files_are_sent_and_refused_in_the_servers_words(notebook, tmp_path: Path):
    whole = scene(13, 1, 320).picture
    file = notebook.page.locator(".bl-upload input")

    def upload(name: str, data: bytes) -> None:
        (tmp_path / name).write_bytes(data)
        file.set_input_files(tmp_path / name)

    upload("photo.jpg", whole)
    notebook.shows("[data-mine=done]", 60)
    notebook.shows('.bl-found[data-found="teddy bear"]')
    upload("half.jpg", whole[: len(whole) // 2])
    notebook.shows("[data-mine=dead-lettered]", 60)
    upload("notes.txt", b"hello")
    told(notebook, "415: Content-Type is text/plain")
    upload("large.jpg", whole + bytes(9_000_000))
    told(notebook, "413: A picture may have 5,000,000 bytes at most")
    notebook.picture("refused")


def test_a_worker_that_is_killed_and_a_queue_that_ends_are_told(notebook):
    notebook.run_cells(3)
    notebook.shows('[data-part="worker-1"][data-state=killed]')
    notebook.shows("[data-headline=warned]")
    notebook.run_cells(4)
    notebook.shows("[data-headline=lost]")
    notebook.page.locator(".bl-stage", has_text="This queue has ended").wait_for(timeout=30_000)

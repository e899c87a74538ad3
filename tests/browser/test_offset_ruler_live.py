"""The offset ruler in a real JupyterLab: every button pressed, and what the cluster then says."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.cluster]

START = """
import brokerlab
from brokerlab import programs
from brokerlab.widgets import OffsetRuler

lab = brokerlab.start(brokers=3)
lab.delete_topics("desk")
!kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic desk --partitions 1 --replication-factor 3
"""

WORKER = """%%program worker.py
import signal
import sys
from brokerlab.access import read_client
from confluent_kafka import Consumer

client_file, topic, group, commit = sys.argv[1:]
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
settings = {**read_client(client_file), "group.id": group, "auto.offset.reset": "earliest"}
settings |= {"session.timeout.ms": 3000, "heartbeat.interval.ms": 500}
settings |= {"auto.commit.interval.ms": 300, "enable.auto.offset.store": commit == "auto"}
with Consumer(settings) as consumer:
    consumer.subscribe([topic])
    while True:
        record = consumer.poll(1)
        if record and not record.error():
            print("working", record.partition(), record.offset())
            sys.stdin.readline()
            print("done", record.partition(), record.offset())
            if commit == "after":
                consumer.store_offsets(record)
"""


def test_a_crash_by_click_loses_or_repeats(open_notebook, write_notebook):
    write_notebook(
        "offset_ruler.ipynb",
        START.strip(),
        WORKER,
        'ruler = OffsetRuler(lab, "desk", "night-shift")\nruler',
        "ruler.close()",
    )
    notebook = open_notebook("offset_ruler.ipynb")
    page = notebook.page

    def press(name: str) -> None:
        button = page.locator(f"[role=button][aria-label^={name!r}]:not([aria-disabled])")
        button.click(timeout=30_000)

    def shows(selector: str, seconds: float = 30) -> None:
        page.wait_for_selector(f".bl-stage {selector}", timeout=seconds * 1000)

    def shows_figure(name: str, value: int) -> None:
        shows(f'[data-figure="{name}"][data-value="{value}"]')

    notebook.wait_idle(60)
    notebook.command("notebook:move-cursor-up")
    for _ in range(3):
        notebook.command("notebook:run-cell-and-select-next")
    shows("[data-partition='0']", 90)
    notebook.show("OffsetRuler(lab")
    press("Send 20 more")
    shows('[data-high="20"]')
    press("Start worker")
    shows('[data-run="0-1"][data-state=risk]')
    press("Next record")
    shows('[data-run="1-2"][data-state=risk]')
    notebook.picture("risk")
    press("crash")
    shows('[data-run="1-2"][data-state=missing]')
    shows_figure("missing", 1)
    notebook.picture("crashed")
    page.locator("select[data-input=commit]").select_option("after the work")
    press("Start worker")
    shows('[data-run="2-3"][data-state=working]')
    press("Next record")
    shows('[data-committed="3"]')
    press("crash")
    shows_figure("missing", 1)
    press("Start worker")
    shows('[data-run="3-4"][data-state=working]')
    notebook.theme("JupyterLab Dark")
    notebook.picture("restarted-dark")
    press("close")
    shows("[data-group-state=EMPTY]")
    press("rewind")
    shows('[data-committed="0"]')
    press("reset the group")
    page.locator(".bl-notice", has_text="The group goes on at").wait_for(timeout=30_000)
    press("Start worker")
    press("Next record")
    shows_figure("more than once", 1)
    notebook.picture("rewound-dark")
    assert notebook.errors == []

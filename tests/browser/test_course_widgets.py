"""The widgets of lessons 02 and 06 to 10 in a real JupyterLab: what a click does is what the cluster then shows."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.cluster]

START = """
import brokerlab
from brokerlab import programs, widgets

lab = brokerlab.start(brokers=3)
lab.delete_topics("photos")
!kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic photos --partitions 3 --replication-factor 3
"""
BUSY = "import time\n\n_ = [time.sleep(0.1) for _ in range(150)]"
MEMBER = """%%program member.py
import signal
import sys
import threading

from brokerlab.access import read_client
from confluent_kafka import Consumer

client_file, topic, group, name, assignor = sys.argv[1:]
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
settings = {**read_client(client_file), "group.id": group, "client.id": name}
settings |= {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
consumer = Consumer(settings | {"partition.assignment.strategy": assignor})
consumer.subscribe([topic])
while not stop.is_set():
    message = consumer.poll(0.2)
    if message is not None and message.error() is None:
        print("read", message.partition(), message.offset())
consumer.close()
"""


@pytest.fixture
def show(open_notebook, write_notebook):
    """Open a notebook that starts the lab and shows one view; at the end, nothing was complained of."""
    opened = []

    def show_it(view: str, *before: str):
        write_notebook("course_widgets.ipynb", START.strip(), *before, f"view = {view}\nview", BUSY)
        notebook = open_notebook("course_widgets.ipynb")
        opened.append(notebook)
        notebook.run_cells(2 + len(before))
        notebook.shows(".bl-picture")
        notebook.show(view)
        return notebook

    yield show_it
    for notebook in opened:
        for theme in ("Light", "Dark"):
            notebook.theme(f"JupyterLab {theme}")
            notebook.picture(f"{_title(notebook)}-{theme.lower()}")
        assert notebook.errors == []


def _title(notebook) -> str:
    return (
        str(notebook.page.locator(".bl-title").first.inner_text())
        .lower()
        .replace(" ", "-")
        .replace(",", "")
    )


def test_the_matrix_and_its_clock_follow_a_killed_broker_and_lose_no_click(show):
    notebook = show('widgets.ReplicaMatrix(lab, "photos")')
    for role in ("leader", "follower"):
        notebook.shows(f'[data-partition^="photos-"][data-role={role}]')
    notebook.press("broker-2", "kill")
    notebook.shows('[data-node="broker-2"][data-state=killed]')
    notebook.shows("[data-clock=running]")
    notebook.picture("without-a-leader")
    notebook.page.wait_for_selector(".bl-stage [data-clock=running]", state="detached")
    # A cell keeps the kernel busy; what is clicked meanwhile happens all the same.
    notebook.run_cells(3, wait=False)
    notebook.wait_until(lambda: notebook.code_cells()[2]["running"], 20)
    notebook.show("widgets.ReplicaMatrix")
    notebook.press("broker-2", "start")
    notebook.shows('[data-node="broker-2"][data-state=running]', 60)
    for number in range(3):
        in_sync = f'[data-partition="photos-{number}"]:is([data-role=leader], [data-role=follower])'
        notebook.wait_until(lambda s=in_sync: notebook.page.locator(s).count() == 3, 30)
    for kind, back, state in (("pause", "resume", "paused"), ("stop", "start", "stopped")):
        notebook.press("broker-1", kind)
        notebook.shows(f'[data-node="broker-1"][data-state={state}]')
        notebook.press("broker-1", back)
        notebook.shows('[data-node="broker-1"][data-state=running]', 60)


def test_the_watch_line_follows_a_killed_broker(show):
    notebook = show('widgets.WatchLine(lab, "photos")')
    notebook.press("broker-2", "kill")
    notebook.shows('[data-node="broker-2"][data-state=killed]')
    notebook.shows('[data-event=effect]:has-text("dropped broker 2")')
    notebook.press("broker-2", "start")
    notebook.shows('[data-node="broker-2"][data-state=running]', 60)
    notebook.press("zookeeper", "stop")
    notebook.shows('[data-node="zookeeper"][data-state=stopped]')
    notebook.press("zookeeper", "start")
    notebook.shows('[data-node="zookeeper"][data-state=running]', 60)


def test_the_lanes_hold_what_a_click_sends(show):
    notebook = show('widgets.PartitionLanes(lab, "photos")')
    for keyed, record in (("true", '[data-key^="cam-"]'), ("false", '[data-key=""]')):
        send = f".bl-stage [data-command*='\"keyed\": {keyed}']:not([aria-disabled])"
        notebook.page.locator(send).click(timeout=30_000)
        notebook.shows(f"[data-record]{record}")
    slider = notebook.page.locator('.bl-inputs [data-input="partitions"]')
    slider.focus()
    slider.press("ArrowRight")
    notebook.wait_until(lambda: notebook.page.locator("[data-lane]").count() > 3, 30)


def test_the_board_shows_members_as_the_group_has_them(show):
    notebook = show('widgets.AssignmentBoard(lab, "photos", "team", program="member.py")', MEMBER)
    for owners in (1, 2):
        notebook.press("members", "add")
        notebook.wait_until(lambda n=owners: len(_owners(notebook)) == n, 60)
    kill = notebook.page.locator('[data-command*=\'"kind": "kill"\']:not([aria-disabled])')
    kill.first.click(timeout=30_000)
    notebook.shows("[data-member][data-state=killed]")
    notebook.wait_until(lambda: len(_owners(notebook)) == 1, 60)
    notebook.press("member-2", "pause")
    notebook.shows('[data-member="member-2"][data-state=paused]')
    notebook.press("member-2", "resume")
    notebook.shows('[data-member="member-2"][data-state=running]')
    notebook.press("member-2", "close")
    notebook.shows('[data-member="member-2"][data-state=closed]')


def _owners(notebook) -> set[str]:
    """Return who owns the three partitions, if each has an owner."""
    lanes = notebook.page.locator(".bl-stage [data-owner]")
    names = lanes.evaluate_all("lanes => lanes.map(lane => lane.dataset.owner)")
    return set(names) if len(names) == 3 and all(names) else set()


def test_the_ladder_counts_what_is_in_the_log(show):
    notebook = show('widgets.AcksLadder(lab, "photos", photos=300)')
    notebook.press("ladder", "send")
    notebook.shows("[data-rung=all][data-phase=done]", 60)
    notebook.shows('[data-rung=all] [data-figure="in the log"][data-value="300"]')
    notebook.press("ladder", "freeze")
    notebook.page.locator(".bl-notice", has_text="was frozen for").wait_for(timeout=30_000)
    for kind in ("kill", "behind"):
        notebook.press("ladder", kind)
        notebook.shows("[data-replica][data-state=killed]")
        notebook.press("ladder", "restart")
        notebook.page.wait_for_selector(
            ".bl-stage [data-replica][data-state=killed]", state="detached", timeout=60_000
        )


@pytest.mark.parametrize("desk", ["call and wait", "queue in memory", "Kafka"])
def test_the_bench_runs_is_killed_and_stops(show, desk):
    notebook = show("widgets.LoadBench(lab, seconds=20)")
    notebook.page.locator("select[data-input=front]").select_option(desk)
    notebook.press("", "start")
    notebook.shows('[data-figure="done"]:not([data-value="0"])', 60)
    notebook.press("", "kill")
    notebook.page.locator(".bl-notice", has_text="was killed (SIGKILL)").wait_for(timeout=30_000)
    notebook.press("", "stop")
    notebook.page.locator(".bl-notice", has_text="The run is over").wait_for(timeout=30_000)

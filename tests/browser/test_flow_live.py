"""Messages that flow, in a real JupyterLab over a real cluster."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.cluster]

START = """
import brokerlab
from brokerlab.traffic import Traffic
from brokerlab.widgets import ClusterMap

lab = brokerlab.start(brokers=3)
lab.delete_topics("photos")
!kafka-topics.sh --bootstrap-server {lab.bootstrap_servers} --create --topic photos --partitions 3 --replication-factor 3
"""

FLOWS = """(leader) => {
  const chips = [...document.querySelectorAll(`[data-node="broker-${leader}"] [data-role=leader]`)];
  const names = chips.map((chip) => chip.dataset.partition);
  const lines = (name) => [...document.querySelectorAll(`[data-flow="${name}"] .bl-flow`)];
  const moving = (line) => line.getAnimations().some((one) => one.playState === 'running');
  return names.length > 0 && names.some((name) => lines(name).length > 0 && lines(name).every(moving));
}"""


def test_dots_flow_stop_with_their_leader_and_resume_at_the_next(open_notebook, write_notebook):
    write_notebook(
        "live_flow.ipynb",
        START.strip(),
        'cluster = ClusterMap(lab, topics=["photos"], flow=True)\ncluster',
        'traffic = Traffic(lab, "photos", 60, {"acks": "all"})',
        "print(traffic.stop())",
    )
    notebook = open_notebook("live_flow.ipynb")
    notebook.run_cells(2)
    page = notebook.page
    page.wait_for_selector('[data-role=leader][data-partition^="photos"]', timeout=30_000)
    assert page.locator("[data-flow]").count() == 0, "nothing is written yet"
    notebook.run_cells(3)
    notebook.show("ClusterMap(lab")
    leader = page.locator('[data-partition="photos-1"][data-role=leader]').evaluate(
        "(chip) => Number(chip.closest('[data-node]').dataset.node.slice(-1))"
    )
    page.wait_for_function(FLOWS, arg=leader, timeout=30_000)
    notebook.picture("flows")
    notebook.theme("JupyterLab Dark")
    notebook.picture("flows-dark")
    notebook.press(f"broker-{leader}", "kill")
    page.wait_for_selector(f'[data-node="broker-{leader}"][data-state=killed]', timeout=20_000)
    page.wait_for_function(
        """() => [...document.querySelectorAll('[data-node][data-state=killed] [data-partition]')]
          .every((chip) => chip.dataset.role !== 'leader' || !document.querySelector(`[data-flow="${chip.dataset.partition}"]`))""",
        timeout=20_000,
    )
    others = ",".join(
        f'[data-node="broker-{n}"] [data-partition="photos-1"][data-role=leader]'
        for n in (1, 2, 3)
        if n != leader
    )
    page.wait_for_selector(others, timeout=30_000)
    page.wait_for_selector('[data-flow="photos-1"]', timeout=40_000)
    notebook.picture("resumed-dark")
    notebook.press(f"broker-{leader}", "start")
    page.wait_for_selector(f'[data-node="broker-{leader}"][data-state=running]', timeout=40_000)
    notebook.run_cells(4)
    page.wait_for_function("document.querySelectorAll('[data-flow]').length === 0", timeout=20_000)
    assert notebook.errors == []

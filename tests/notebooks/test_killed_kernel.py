"""A kernel that is killed while it is a member of a group, and the same notebook from the top, in the same lab."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import brokerlab
import nbformat
import pytest
from brokerlab.groups import GroupObserver
from jupyter_client import BlockingKernelClient, KernelManager

ROOT = Path(__file__).resolve().parents[2]
CELL_SECONDS = 90


@contextmanager
def kernel() -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    manager = KernelManager()
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(60)
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(client: BlockingKernelClient, sources: list[str]) -> None:
    for source in sources:
        answer = client.execute_interactive(
            source, timeout=CELL_SECONDS, output_hook=lambda message: None
        )["content"]
        assert answer["status"] == "ok", f"{source}\n{answer['ename']}: {answer['evalue']}"


@pytest.mark.cluster
@pytest.mark.timeout(240)
def test_lesson_11_reads_again_after_its_kernel_died_in_group_a(home):
    notebook = nbformat.read(ROOT / "notebooks" / "11_offsets_commits_replay.ipynb", 4)
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    reads = next(n for n, source in enumerate(sources) if "def read(group)" in source)
    beginning = sources[: reads + 1]
    joins = next(source for source in sources if "--reset-offsets" in source)
    with brokerlab.start(brokers=3) as lab:
        with kernel() as (manager, client), GroupObserver(lab, "A") as group:
            run(client, beginning)
            read = time.time()
            client.execute(joins)
            group.wait_until(lambda seen: seen.taken > read and seen.members, 60, "a member of A")
            os.kill(manager.provisioner.pid, signal.SIGKILL)
        with kernel() as (_, client):
            run(client, beginning)

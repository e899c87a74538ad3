"""A Jupyter kernel, driven and watched from outside, as a browser does."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
import time
from types import TracebackType
from typing import Any

import psutil
from jupyter_client.manager import start_new_kernel
from side import SideError

CELL_SECONDS = 120.0
END_SECONDS = 10.0


class Kernel:
    """A kernel of its own, in which a view is made.

    Attributes
    ----------
    looks : list of float
        When (monotonic seconds) the view let know that it looked; it does so with each look.
    states : list of tuple of float and int
        When it sent a picture, and how many characters of JSON that was.
    """

    def __init__(self) -> None:
        self.looks: list[float] = []
        self.states: list[tuple[float, int]] = []
        self._manager, self._client = start_new_kernel(
            kernel_name="python3", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.process = psutil.Process(self._manager.provisioner.pid)
        self._ending = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Kernel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run(self, cell: str) -> None:
        """Run a cell and wait for its end.

        Raises
        ------
        SideError
            It failed, or did not end within `CELL_SECONDS`.
        """
        asked = self._client.execute(cell)
        limit = time.monotonic() + CELL_SECONDS
        while (left := limit - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                reply = self._client.get_shell_msg(timeout=left)
                if reply["parent_header"].get("msg_id") == asked:
                    content = reply["content"]
                    if content["status"] != "ok":
                        raise SideError(f"the cell failed: {content.get('evalue')}: {cell}")
                    return
        raise SideError(f"the cell did not end within {CELL_SECONDS:.0f} s: {cell}")

    def seconds_of_work(self) -> float:
        """Return the processor time that the kernel has used, without its children's."""
        used = self.process.cpu_times()
        return float(used.user + used.system)

    def seconds_of_children(self) -> float:
        """Return the processor time of the processes that the view keeps."""
        total = 0.0
        for child in self.process.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                used = child.cpu_times()
                total += used.user + used.system
        return total

    def memory(self) -> float:
        """Return its resident memory, in MB."""
        return float(self.process.memory_info().rss) / 1e6

    def close(self) -> None:
        """End the kernel."""
        self._ending.set()
        self._listener.join(END_SECONDS)
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)

    def _listen(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(queue.Empty):
                self._hear(self._client.get_iopub_msg(timeout=0.5))

    def _hear(self, message: dict[str, Any]) -> None:
        if message["msg_type"] != "comm_msg":
            return
        sent = message["content"]["data"].get("state", {})
        now = time.monotonic()
        if "pulse" in sent:
            self.looks.append(now)
        if "state" in sent:
            self.states.append((now, len(json.dumps(sent["state"]))))

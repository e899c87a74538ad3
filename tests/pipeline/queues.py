"""A queue of a test's own on the lab, with its parts as real processes."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from brokerlab.background import Background
from brokerlab.pipeline.clients import Cluster, ensure_topics
from brokerlab.pipeline.messages import Names


class Queue:
    """A queue of its own on the lab: topics with a fresh prefix, and parts that are ended with the test."""

    def __init__(self, lab: Any, file: Path) -> None:
        self.cluster = Cluster.of(lab.bootstrap_servers, lab.client_file)
        self.names = Names(f"t{uuid.uuid4().hex[:8]}")
        self.where = [
            *("--bootstrap-servers", lab.bootstrap_servers),
            *("--client-properties", str(lab.client_file)),
            *("--prefix", self.names.prefix),
        ]
        self.file = file
        self.parts: list[Background] = []
        ensure_topics(self.cluster, self.names)

    def start(
        self, name: str, *arguments: object, module: str = "brokerlab.pipeline"
    ) -> Background:
        """Start a part as a process; wait until it is ready."""
        line = [name, *(self.where if name != "api" else []), *arguments]
        if name != "worker":
            line += ["--database", self.file]
        part = Background([sys.executable, "-m", module, *map(str, line)], name=name)
        self.parts.append(part)
        part.wait_for('"ready"')
        return part

    def end(self) -> None:
        for part in self.parts:
            part.kill()


def until(true: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until something is true; return it."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"still not so after {seconds:.0f} s"
        time.sleep(0.02)
    return found

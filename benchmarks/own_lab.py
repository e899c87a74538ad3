"""A lab of this process, in a folder that goes with it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import brokerlab
from brokerlab.lab import Lab
from brokerlab.progress import Progress


@contextmanager
def own_lab() -> Iterator[Lab]:
    """Start a lab of three brokers; stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        before = os.environ.get("BROKERLAB_HOME")
        os.environ["BROKERLAB_HOME"] = folder
        try:
            lab = brokerlab.start(brokers=3, progress=Progress())
            try:
                yield lab
            finally:
                lab.stop()
        finally:
            os.environ.pop("BROKERLAB_HOME")
            if before is not None:
                os.environ["BROKERLAB_HOME"] = before

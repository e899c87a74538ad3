"""The whole suite in two lanes side by side, since most tests wait for the cluster and not for the processor.

The first lane has a network of its own: neither can take the other's ports, and those of the article are
free in both. (The second has the machine's, where Docker publishes its containers' ports.) That needs root, and
Linux's network namespaces.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

RUN = Path(__file__).with_name("run.py")
NOTEBOOKS = ("tests/notebooks", "tests/browser")
LANES = {
    "notebooks and browser": NOTEBOOKS,
    "everything else": ("tests", *(f"--ignore={folder}" for folder in NOTEBOOKS)),
}
IN_A_NETWORK_OF_ITS_OWN = (
    *("unshare", "--net", "sh", "-c"),
    'ip link set lo up && exec "$@"',
    "sh",
)


def possible() -> bool:
    """Whether this machine has two processors, and networks to give away."""
    if (os.cpu_count() or 1) < 2 or os.name != "posix" or os.geteuid() != 0:
        return False
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run([*IN_A_NETWORK_OF_ITS_OWN, "true"], capture_output=True).returncode == 0


def run(arguments: Sequence[str]) -> int:
    """Run both lanes to their ends; show the first as it goes and the second when it is over.

    Returns
    -------
    int
        The first exit code that is not 0.
    """
    begun = time.monotonic()
    command = [sys.executable, "-u", str(RUN), "-p", "no:cacheprovider", *arguments]
    (_, first), (name, second) = LANES.items()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as heard:
        other = subprocess.Popen([*command, *second], stdout=heard, stderr=subprocess.STDOUT)
        try:
            codes = [subprocess.run([*IN_A_NETWORK_OF_ITS_OWN, *command, *first]).returncode]
            print(f"Waiting for the other lane: {name}.", flush=True)
            codes.append(other.wait())
        finally:
            if other.poll() is None:
                other.send_signal(signal.SIGINT)
                other.wait()
            heard.seek(0)
            shutil.copyfileobj(heard, sys.stdout)
    print(f"Two lanes side by side took {(time.monotonic() - begun) / 60:.1f} minutes.")
    return next((code for code in codes if code), 0)

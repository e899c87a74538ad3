"""The whole suite in two lanes side by side, since most tests wait for the cluster and not for the processor.

The first lane has a network of its own: neither can take the other's ports, and those of the article are
free in both. (The second has the machine's, where Docker publishes its containers' ports.) That needs root, and
Linux's network namespaces.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RUN = Path(__file__).with_name("run.py")
IN_A_NETWORK_OF_ITS_OWN = (
    *("unshare", "--net", "sh", "-c"),
    'ip link set lo up && exec "$@"',
    "sh",
)
LOOK_EVERY = 0.2
SUMMARY_SECONDS = 60
TESTS_FAILED = 1
# A log is read from its end, where a hundred lines are in view.
LINES_IN_VIEW = 80
LEAST_LINES_OF_ONE = 10


@dataclass(frozen=True)
class Lane:
    """A part of the suite: pytest's arguments, and whether it gets a network of its own."""

    name: str
    arguments: tuple[str, ...]
    own_network: bool


LESSONS = ("tests/notebooks", "tests/exercises", "tests/browser")
LANES = (
    Lane("lessons and browser", LESSONS, own_network=True),
    Lane(
        "everything else",
        ("tests", *(f"--ignore={folder}" for folder in LESSONS)),
        own_network=False,
    ),
)


def possible() -> bool:
    """Whether this machine has two processors, and networks to give away."""
    if (os.cpu_count() or 1) < 2 or os.name != "posix" or os.geteuid() != 0:
        return False
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run([*IN_A_NETWORK_OF_ITS_OWN, "true"], capture_output=True).returncode == 0


class LaneRun:
    """A lane that runs or is over; what it says and what fails are kept in a folder.

    Parameters
    ----------
    lane : Lane
    arguments : sequence of str
        More arguments for pytest, or for run.py.
    folder : Path

    Attributes
    ----------
    code : int or None
        Its exit code; None until it is over.
    """

    def __init__(self, lane: Lane, arguments: Sequence[str], folder: Path) -> None:
        self.lane = lane
        self.code: int | None = None
        self._failures = folder / f"{lane.name}.failures"
        self._said = folder / f"{lane.name}.log"
        self._shown = 0
        self._begun = time.monotonic()
        command = [sys.executable, "-u", str(RUN), "-p", "no:cacheprovider"]
        command += ["--failures", str(self._failures), *lane.arguments, *arguments]
        network = IN_A_NETWORK_OF_ITS_OWN if lane.own_network else ()
        with self._said.open("wb") as said:
            self._process = subprocess.Popen([*network, *command], stdout=said, stderr=said)

    def runs(self) -> bool:
        """Whether it is not over."""
        if self.code is None:
            self.code = self._process.poll()
            self._minutes = (time.monotonic() - self._begun) / 60
        return self.code is None

    def follow(self) -> None:
        """Show what it says until it is over, and all that it has said before."""
        while self.runs():
            self._show()
            time.sleep(LOOK_EVERY)
        self._show()

    def finish(self, deadline: float) -> None:
        """Wait for its end, and from the deadline on (monotonic seconds) make it end."""
        while self.runs():
            if time.monotonic() > deadline:
                self._process.kill()
            time.sleep(LOOK_EVERY)

    def _show(self) -> None:
        with self._said.open("rb") as said:
            said.seek(self._shown)
            sys.stdout.write(said.read().decode(errors="replace"))
            sys.stdout.flush()
            self._shown = said.tell()

    def failures(self) -> list[tuple[str, list[str]]]:
        """Return what failed and the lines that tell why; where that is no test, how the lane ended."""
        if self.code == 0:
            return []
        found = []
        if self._failures.exists():
            kept = map(json.loads, self._failures.read_text("utf-8").splitlines())
            found = [(one["what"], one["why"].splitlines()) for one in kept]
        if not found or self.code != TESTS_FAILED:
            said = self._said.read_text("utf-8", errors="replace")
            found.append(("how it ended", said.splitlines()))
        return found

    def outcome(self) -> str:
        """Return how it ended, as a line."""
        how = "FAILED" if self.code else "all is well"
        return f"{self.lane.name}: {how} (exit code {self.code}) after {self._minutes:.1f} minutes."


def run(lanes: Sequence[Lane], arguments: Sequence[str]) -> int:
    """Run the lanes; show one after the other, the first as it goes, and at the end once more what failed in any.

    Returns
    -------
    int
        0, or the exit code of the first that failed.
    """
    with tempfile.TemporaryDirectory(prefix="lanes-") as folder:
        runs = [LaneRun(lane, arguments, Path(folder)) for lane in lanes]
        try:
            for one in runs:
                one.follow()
        except KeyboardInterrupt:
            # So were they, in this terminal or by timeout: they are let say what they have seen.
            deadline = time.monotonic() + SUMMARY_SECONDS
            for one in runs:
                one.finish(deadline)
                one.follow()
        _show_failures(runs)
    print("\n".join(one.outcome() for one in runs))
    return next((one.code for one in runs if one.code), 0)


def _show_failures(runs: Sequence[LaneRun]) -> None:
    failures = [(one.lane.name, *failure) for one in runs for failure in one.failures()]
    if not failures:
        return
    lines = max(LEAST_LINES_OF_ONE, LINES_IN_VIEW // len(failures))
    print(f"\nWhat failed once more, the last {lines} lines of each:")
    for name, what, why in failures:
        print(f"\n_____ {name}: {what}", *why[-lines:], sep="\n")
    print(f"\nFailed: {', '.join(what for _, what, _ in failures)}\n")

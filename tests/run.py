"""Runs every test that this machine can run, and ends with what it left out and why.

    python tests/run.py [--lanes] [--leave-out MARK] [pytest's arguments]

With --lanes the whole suite runs in two lanes side by side (see lanes.py), which takes two processors.
With CI=true a mark that the machine cannot run fails the run, unless --leave-out names it.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import chromium
import lanes
import pytest

ROOT = Path(__file__).resolve().parent.parent
ON_REQUEST = "--leave-out was given"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], add_help=False)
    parser.add_argument("--leave-out", action="append", default=[], metavar="MARK")
    parser.add_argument("--lanes", action="store_true")
    parser.add_argument("--failures", type=Path, metavar="FILE")
    asked, arguments = parser.parse_known_args(argv)
    os.chdir(ROOT)
    # A shell starts what it runs in the background with this ignored, and then nothing could end a run in order.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if asked.lanes:
        if "-m" in arguments or any(
            Path(word.partition("::")[0]).exists() and before != "-k"
            for before, word in itertools.pairwise(["", *arguments])
        ):
            print("--lanes runs the whole suite: it takes neither files nor -m (but -k).")
            return int(pytest.ExitCode.USAGE_ERROR)
        if not lanes.possible():
            print("--lanes needs root, Linux, two processors and network namespaces.")
            return int(pytest.ExitCode.USAGE_ERROR)
        left_out = [word for mark in asked.leave_out for word in ("--leave-out", mark)]
        return lanes.run(lanes.LANES, [*left_out, *arguments])
    gaps = missing() | dict.fromkeys(asked.leave_out, ON_REQUEST)
    runner = Runner(gaps, asked.failures)
    code = int(pytest.main(arguments, plugins=[runner]))
    listing = any(word in arguments for word in ("--collect-only", "--co", "--help", "-h"))
    if code == 0 and not runner.ran and not listing:
        print("No test ran: that is a failure.")
        return int(pytest.ExitCode.NO_TESTS_COLLECTED)
    unable = sorted({mark for mark in runner.deselected if gaps[mark] != ON_REQUEST})
    if unable and os.environ.get("CI", "").lower() in ("true", "1"):
        print(f"CI must run everything: provide what {', '.join(unable)} needs, or --leave-out it.")
        return code or 1
    return code


def missing() -> dict[str, str]:
    """Return the marks whose tests cannot run here, each with the reason."""
    gaps = {}
    if sys.platform not in ("linux", "darwin"):
        gaps |= dict.fromkeys(("cluster", "faults"), f"the lab does not run on {sys.platform}")
    if (reason := _no_docker()) is not None:
        gaps["containers"] = reason
    if chromium.PATH is None:
        gaps["browser"] = "no chromium is on PATH"
    elif importlib.util.find_spec("playwright") is None:
        gaps["browser"] = "Playwright is not installed (make dev)"
    return gaps


def _no_docker() -> str | None:
    import docker

    try:
        docker.from_env(timeout=5).ping()
    except Exception as error:
        return f"no Docker daemon answers ({type(error).__name__})"
    return None


class Runner:
    """The pytest plugin that deselects what cannot run, and tells at the end; it keeps what fails in a file, if given one."""

    def __init__(self, gaps: dict[str, str], failures: Path | None) -> None:
        self.gaps = gaps
        self.failures = failures
        self.deselected: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.ran = 0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        kept, left_out = [], []
        for item in items:
            gap = next((mark for mark in self.gaps if item.get_closest_marker(mark)), None)
            if gap is None:
                kept.append(item)
            else:
                left_out.append(item)
                self.deselected[gap] += 1
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = kept

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self._note(report.longrepr)
        elif report.when == "call":
            self.ran += 1
        self._keep(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._note(report.longrepr)
        self._keep(report)

    def _keep(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed and self.failures is not None:
            with self.failures.open("a", encoding="utf-8") as kept:
                json.dump({"what": report.nodeid, "why": report.longreprtext}, kept)
                kept.write("\n")

    def _note(self, why: object) -> None:
        if isinstance(why, tuple):
            self.skipped[str(why[2]).removeprefix("Skipped: ")] += 1

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("left out on this machine")
        for mark, count in sorted(self.deselected.items()):
            terminalreporter.line(f"{count} marked {mark}: {self.gaps[mark]}")
        for reason, count in sorted(self.skipped.items()):
            terminalreporter.line(f"{count} skipped: {reason}")
        if not self.deselected and not self.skipped:
            terminalreporter.line("nothing")


if __name__ == "__main__":
    code = main(sys.argv[1:])
    print("make test: all is well." if code == 0 else f"make test: failed (exit code {code}).")
    sys.exit(code)

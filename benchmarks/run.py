"""Measures the lab and the ML queue beside what others would use, in one run; see README.md.

    python benchmarks/run.py [--rounds N] [--json FILE] [--first-run]
    python benchmarks/run.py --widgets [--minutes M] [--json FILE]
    python benchmarks/run.py --queue [--rounds N] [--pictures N] [--json FILE]

Exit code 0 when every bound holds, 1 when one is missed, 2 when something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from brokerlab.errors import BrokerLabError
from first_run import first_run
from measure import table
from queue_rounds import measure_queue
from rounds import measure
from side import SideError
from widgets import VIEWS, measure_views


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Measure the lab beside what others would use.")
    parser.add_argument("--rounds", type=_positive, default=3, help="runs of each side (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value there too")
    parser.add_argument(
        "--first-run", action="store_true", help="instead: from nothing to an open lab"
    )
    parser.add_argument(
        "--widgets", action="store_true", help="instead: what live views cost the kernel"
    )
    parser.add_argument(
        "--minutes", type=_positive, default=10, help="how long the views are shown (10)"
    )
    parser.add_argument("--queue", action="store_true", help="instead: the ML queue")
    parser.add_argument(
        "--pictures", type=_positive, default=2000, help="how many go through it (2000)"
    )
    asked = parser.parse_args(argv)
    if asked.json and not asked.json.absolute().parent.is_dir():
        parser.error(f"there is no folder {asked.json.absolute().parent} for the values")
    before = machine()
    print(describe_machine(before))
    try:
        if asked.first_run:
            result = first_run()
            print("\n".join(result.lines()))
            report: dict[str, Any] = {"first_run": result.to_dict()}
            missed = False
        else:
            extent: dict[str, int] = {"rounds": asked.rounds}
            if asked.widgets:
                extent = {"minutes": asked.minutes}
                figures = measure_views(VIEWS, asked.minutes)
            elif asked.queue:
                extent["pictures"] = asked.pictures
                figures = measure_queue(asked.rounds, asked.pictures)
            else:
                figures = measure(asked.rounds)
            print(f"\n{table(figures)}\n")
            missed = any(figure.holds is False for figure in figures)
            print("A bound is missed." if missed else "Every bound holds.")
            report = {**extent, "figures": [f.to_dict() for f in figures]}
    except (
        SideError,
        ValueError,
        BrokerLabError,
        TimeoutError,
        subprocess.SubprocessError,
    ) as error:
        print(f"Nothing can be said, as something could not be measured: {error}", file=sys.stderr)
        return 2
    after = machine()
    print(f"Load of the machine: {before['load']:.1f} before, {after['load']:.1f} after.")
    if asked.json:
        whole = {"machine": before, "load_after": after["load"], **report}
        asked.json.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    return int(missed)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("give a whole number from 1 up")
    return number


def machine() -> dict[str, Any]:
    """Say on what is measured."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load": os.getloadavg()[0],
    }


def describe_machine(this: dict[str, Any]) -> str:
    text = "{system}, {processors} processors, {memory_gb} GB, Python {python}".format(**this)
    busy = this["load"] > 0.5
    return text + (f"; it is busy (load {this['load']:.1f}): expect noise" if busy else "")


if __name__ == "__main__":
    # As an exception, so that what was started is ended when this process is asked to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    sys.exit(main(sys.argv[1:]))

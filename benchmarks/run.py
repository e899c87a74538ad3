"""Measures the lab beside what others would use, in one run; see README.md.

    python benchmarks/run.py [--rounds N] [--json FILE] [--first-run]

Exit code 0 when every bound holds, 1 when one is missed, 2 when something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kafka_defaults
import peers
import psutil
from brokerlab import distribution, settings
from brokerlab.distribution.java import class_path
from brokerlab.errors import BrokerLabError
from brokerlab.progress import TerminalProgress
from brokerlab.tools import LOG4J, TOOLS
from first_run import first_run
from journey import TOPIC, consume_first_message
from measure import Figure, samples, table
from side import Side, SideError, resident_memory

DESCRIPTIONS_A_ROUND = 3
COMMAND_SECONDS = 60.0
TOPICS_TOOL = "kafka-topics.sh"

ATTACH = """\
import json, time, brokerlab
start = brokerlab.start
begun = time.monotonic()
start()
print(json.dumps(time.monotonic() - begun))
"""


@dataclass
class Measured:
    """What was measured on one side, a value a round."""

    first_message: list[float] = field(default_factory=list)
    usable: list[float] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)
    proportional: list[float] = field(default_factory=list)


@dataclass
class Commands:
    """What was measured with commands on a running lab, in seconds."""

    attach_call: list[float] = field(default_factory=list)
    attach_process: list[float] = field(default_factory=list)
    describe: list[float] = field(default_factory=list)
    describe_default: list[float] = field(default_factory=list)
    stop: list[float] = field(default_factory=list)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Measure the lab beside what others would use.")
    parser.add_argument("--rounds", type=_positive, default=3, help="runs of each side (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value there too")
    parser.add_argument(
        "--first-run", action="store_true", help="instead: from nothing to an open lab"
    )
    asked = parser.parse_args(argv)
    before = machine()
    print(describe_machine(before))
    try:
        if asked.first_run:
            result = first_run()
            print("\n".join(result.lines()))
            report: dict[str, Any] = {"first_run": result.to_dict()}
            missed = False
        else:
            figures = measure(asked.rounds)
            print(f"\n{table(figures)}\n")
            missed = any(figure.holds is False for figure in figures)
            print("A bound is missed." if missed else "Every bound holds.")
            report = {"rounds": asked.rounds, "figures": [f.to_dict() for f in figures]}
    except (SideError, BrokerLabError, TimeoutError, subprocess.SubprocessError) as error:
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
        raise argparse.ArgumentTypeError("give a number of rounds from 1 up")
    return number


def machine() -> dict[str, Any]:
    """Say on what is measured."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "processors": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load": os.getloadavg()[0],
    }


def describe_machine(this: dict[str, Any]) -> str:
    text = "{system}, {processors} processors, {memory_gb} GB, Python {python}".format(**this)
    busy = this["load"] > 0.5
    return text + (f"; it is busy (load {this['load']:.1f}): expect noise" if busy else "")


def measure(rounds: int) -> list[Figure]:
    """Run every side once a round, in turn, and return the figures."""
    jars = distribution.prefetch(settings.read(), TerminalProgress())
    peers.make_environment()
    ours, trivup, plain, commands = Measured(), Measured(), Measured(), Commands()
    for number in range(1, rounds + 1):
        with peers.lab() as side:
            bootstrap_servers = to_first_message(side, ours)
            measure_commands(side, bootstrap_servers, jars, commands)
            begun = time.monotonic()
            side.ask("stop")
            commands.stop.append(time.monotonic() - begun)
        with peers.trivup(jars) as side:
            to_first_message(side, trivup)
        with peers.lab("--plain") as side:
            to_first_message(side, plain)
        print(
            f"round {number} of {rounds}: first message after {ours.first_message[-1]:.2f} s, "
            f"trivup {trivup.first_message[-1]:.2f} s, "
            f"without archive and flags {plain.first_message[-1]:.2f} s",
            flush=True,
        )
    return figures(ours, trivup, plain, commands)


def to_first_message(side: Side, measured: Measured) -> str:
    """Start a side, take it to the first message consumed; return its bootstrap servers."""
    side.wait_until_ready()
    begun = time.monotonic()
    bootstrap_servers: str = side.ask("start")["bootstrap_servers"]
    usable = time.monotonic()
    consumed = consume_first_message(bootstrap_servers)
    jvms = side.jvms()
    if len(jvms) != 4:
        raise SideError(f"{side.name} has {len(jvms)} JVMs instead of ZooKeeper and three brokers")
    resident, proportional = resident_memory(jvms)
    measured.usable.append(usable - begun)
    measured.first_message.append(consumed - begun)
    measured.resident.append(resident)
    if proportional is not None:
        measured.proportional.append(proportional)
    return bootstrap_servers


def measure_commands(
    side: Side, bootstrap_servers: str, jars: distribution.Distribution, commands: Commands
) -> None:
    """Attach to the lab from a new process, and describe its topic with both kinds of flags, in turn."""
    home = {**os.environ, "BROKERLAB_HOME": str(side.folder)}
    seconds, output = timed([sys.executable, "-c", ATTACH], home)
    commands.attach_process.append(seconds)
    commands.attach_call.append(json.loads(output))
    arguments = ("--bootstrap-server", bootstrap_servers, "--describe", "--topic", TOPIC)
    ours = [str(Path(sys.executable).with_name(TOPICS_TOOL)), *arguments]
    default = kafka_defaults.tool_command(
        jars.java,
        class_path(jars.jars),
        TOOLS[TOPICS_TOOL].main_class,
        *arguments,
        properties={"log4j.configuration": LOG4J["tool"]},
    )
    for _ in range(DESCRIPTIONS_A_ROUND):
        for command, times in ((ours, commands.describe), (default, commands.describe_default)):
            seconds, output = timed(command, home)
            if output.count("Leader:") != 3:
                raise SideError(f"{command[0]} did not describe three partitions: {output!r}")
            times.append(seconds)


def timed(command: Sequence[str], environ: dict[str, str]) -> tuple[float, str]:
    """Run a command to its end; return the seconds of the whole process, and what it printed."""
    begun = time.monotonic()
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=COMMAND_SECONDS
    )
    seconds = time.monotonic() - begun
    if done.returncode:
        raise SideError(f"{command[0]} failed: {done.stderr.strip()[-300:]}")
    return seconds, done.stdout


def figures(ours: Measured, trivup: Measured, plain: Measured, commands: Commands) -> list[Figure]:
    """Put what was measured side by side, with the bounds."""
    first, default = samples(ours.first_message), "no archive, Kafka's default flags"
    rows = [
        Figure(
            "first message consumed", "s", first, "trivup", samples(trivup.first_message), 0.40
        ),
        Figure("first message consumed", "s", first, default, samples(plain.first_message), 0.55),
        Figure(
            "brokers usable", "s", samples(ours.usable), "trivup (answers)", samples(trivup.usable)
        ),
        Figure("brokers usable", "s", samples(ours.usable), default, samples(plain.usable)),
        Figure(
            "resident memory of the JVMs",
            "MB",
            samples(ours.resident),
            "trivup",
            samples(trivup.resident),
            0.50,
        ),
    ]
    if ours.proportional and trivup.proportional:
        theirs = samples(trivup.proportional)
        rows.append(
            Figure("the same, shared pages once", "MB", samples(ours.proportional), "trivup", theirs)
        )
    return [
        *rows,
        Figure("attach: the call", "s", samples(commands.attach_call), bound=1.0),
        Figure("attach: the whole process", "s", samples(commands.attach_process)),
        Figure(
            f"{TOPICS_TOOL} --describe",
            "s",
            samples(commands.describe),
            "Kafka's default flags",
            samples(commands.describe_default),
            0.70,
        ),
        Figure("stop of the whole lab", "s", samples(commands.stop), bound=5.0),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

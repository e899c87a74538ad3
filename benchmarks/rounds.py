"""Every side once a round, in turn, and what comes of it."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import kafka_defaults
import peers
import runtime_rounds
from brokerlab import distribution, settings
from brokerlab.distribution.java import class_path
from brokerlab.progress import TerminalProgress
from brokerlab.tools import LOG4J, TOOLS
from commands import attach, environ_of, timed
from journey import TOPIC, travel
from measure import Figure, samples
from side import Side, SideError, resident_memory

NODES = 4
DESCRIPTIONS_A_ROUND = 3
TOPICS_TOOL = "kafka-topics.sh"


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
    attach_existing: list[float] = field(default_factory=list)
    describe: list[float] = field(default_factory=list)
    describe_default: list[float] = field(default_factory=list)
    stop: list[float] = field(default_factory=list)


def measure(rounds: int) -> list[Figure]:
    """Run every side once a round, in turn, and return the figures."""
    jars = distribution.prefetch(settings.read(), TerminalProgress())
    peers.make_environment()
    ours, trivup, plain, commands = Measured(), Measured(), Measured(), Commands()
    each_runtime = runtime_rounds.present()
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
        for one in each_runtime:
            one.measure()
        print(
            f"round {number} of {rounds}: first message after {ours.first_message[-1]:.2f} s, "
            f"trivup {trivup.first_message[-1]:.2f} s, "
            f"without archive and flags {plain.first_message[-1]:.2f} s",
            flush=True,
        )
    return [*figures(ours, trivup, plain, commands), *runtime_rounds.figures(each_runtime)]


def to_first_message(side: Side, measured: Measured) -> str:
    """Start a side, take it to the first message consumed; return its bootstrap servers."""
    journey = travel(side)
    jvms = side.jvms()
    if len(jvms) != NODES:
        raise SideError(f"{side.name} has {len(jvms)} JVMs instead of ZooKeeper and three brokers")
    resident, proportional = resident_memory(jvms)
    measured.usable.append(journey.usable)
    measured.first_message.append(journey.first_message)
    measured.resident.append(resident)
    if proportional is not None:
        measured.proportional.append(proportional)
    return journey.bootstrap_servers


def measure_commands(
    side: Side, bootstrap_servers: str, jars: distribution.Distribution, commands: Commands
) -> None:
    """Attach to the lab from a new process, as to a lab and as to a cluster that exists; describe its topic with both
    kinds of flags, in turn."""
    home = environ_of(side)
    call, process = attach(home)
    commands.attach_call.append(call)
    commands.attach_process.append(process)
    existing = {"BROKERLAB_RUNTIME": "external", "BROKERLAB_BOOTSTRAP_SERVERS": bootstrap_servers}
    call, _ = attach(home | existing)
    commands.attach_existing.append(call)
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


def figures(ours: Measured, trivup: Measured, plain: Measured, commands: Commands) -> list[Figure]:
    """Put what was measured side by side, with the bounds."""
    first, default = samples(ours.first_message), "no archive, Kafka's default flags"
    rows = [
        Figure("first message consumed", "s", first, "trivup", samples(trivup.first_message), 0.40),
        Figure("first message consumed", "s", first, default, samples(plain.first_message), 0.55),
        Figure(
            "brokers usable",
            "s",
            samples(ours.usable),
            "trivup (ports open)",
            samples(trivup.usable),
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
            Figure(
                "the same, shared pages once", "MB", samples(ours.proportional), "trivup", theirs
            )
        )
    return [
        *rows,
        Figure("attach: the call", "s", samples(commands.attach_call), bound=1.0),
        Figure("attach: the whole process", "s", samples(commands.attach_process)),
        Figure(
            "attach: the call, a cluster that exists",
            "s",
            samples(commands.attach_existing),
            bound=1.0,
        ),
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

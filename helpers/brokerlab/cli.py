"""The ``brokerlab`` command."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from brokerlab import control, distribution, doctor, lab, settings, tools
from brokerlab.errors import BrokerLabError, NoLabError, NotPossibleError, SettingError
from brokerlab.kraft import MODES
from brokerlab.labfolder import LabFolder, labs_with_anything, running_labs
from brokerlab.nodes import what_runs
from brokerlab.progress import TerminalProgress
from brokerlab.topology import MOST_BROKERS

USABLE, FAILED, NO_LAB, DEGRADED = 0, 1, 3, 4


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    0: done, or the lab is usable · 1: it could not be done · 2: the command is not understood ·
    3: there is no lab · 4: the lab runs, but not all of it.
    """
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except NoLabError as error:
        print(error, file=sys.stderr)
        return NO_LAB
    except BrokerLabError as error:
        print(error, file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("Interrupted, and nothing is left half-done.", file=sys.stderr)
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    variables = "".join(f"  {name:<18} {what}\n" for name, what in settings.VARIABLES.items())
    parser = argparse.ArgumentParser(
        prog="brokerlab",
        description="A real ZooKeeper and a real Kafka cluster for learning.",
        epilog=f"environment variables:\n{variables}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[Any], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    def named(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--name", default="main", help="which lab (default: main)")

    sub = command(
        "doctor", _doctor, "look at this machine, and say what stands in the way of a lab"
    )
    sub.add_argument("--json", action="store_true", help="for programs")
    sub = command("prefetch", _prefetch, "fetch the jars and make the class-data archive, once")
    sub.add_argument(
        "--from",
        dest="place",
        metavar="SOURCE",
        help="from where: a bundle or a folder (path), a bundle (address that ends in .tar), "
        "a Maven repository (any other address)",
    )
    sub = command("bundle", _bundle, "write all jars into one file, for machines without a network")
    sub.add_argument("file", metavar="FILE", type=Path, help="what to write; it ends in .tar")
    sub = command("start", _start, "start a lab that stays until `brokerlab stop`")
    sub.add_argument(
        "--brokers", default="3", help=f"how many brokers, 1 to {MOST_BROKERS} (default: 3)"
    )
    sub.add_argument(
        "--mode",
        choices=MODES,
        help="who keeps the list of the brokers (default: zookeeper, or who does in a lab that runs)",
    )
    named(sub)
    sub = command(
        "status", _status, "say what runs; exit code 0: usable, 3: no lab, 4: a part is down"
    )
    sub.add_argument("--json", action="store_true", help="for programs")
    named(sub)
    sub = command("logs", _logs, "print the log of a node")
    sub.add_argument("node", metavar="NODE", help="zookeeper, broker-1, ...")
    sub.add_argument("-n", "--lines", type=int, default=0, help="only the last lines")
    named(sub)
    sub = command("topics", _topics, "list your topics")
    named(sub)
    sub = command("tools", _tools, "list the console tools")
    sub.add_argument("--path", action="store_true", help="print the folder that holds them")
    sub = command("stop", _stop, "stop a lab; its topics are gone then")
    sub.add_argument("--all", action="store_true", help="stop every lab of this user")
    named(sub)
    return parser


def _doctor(arguments: Any) -> int:
    findings = doctor.examine(settings.read())
    if arguments.json:
        print(json.dumps([finding.to_dict() for finding in findings], indent=1))
    else:
        for finding in findings:
            print(finding)
    return FAILED if any(finding.bad for finding in findings) else USABLE


def _prefetch(arguments: Any) -> int:
    have = distribution.prefetch_all(settings.read(), TerminalProgress(), arguments.place)
    count = len(distribution.all_locked())
    archive = "with" if have.archive else "without"
    print(
        f"Kafka {have.version} and the tools of every lesson are ready: {count} jars, {archive} a class-data archive."
    )
    return USABLE


def _bundle(arguments: Any) -> int:
    file = arguments.file
    count = distribution.write_bundle(settings.read(), TerminalProgress(), file)
    print(
        f"{count} jars are in {file}; elsewhere: brokerlab prefetch --from {shlex.quote(str(file))}"
    )
    return USABLE


def _start(arguments: Any) -> int:
    if not re.fullmatch(r"-?\d+", arguments.brokers):
        raise SettingError(
            f"--brokers {arguments.brokers!r} is not a number of brokers: give a whole number from 1 to {MOST_BROKERS}."
        )
    folder = _folder(arguments)
    was_there = folder.name in [running.name for running in running_labs(folder.home)]
    try:
        started = lab.start(
            int(arguments.brokers),
            name=arguments.name,
            keep=True,
            mode=arguments.mode,
            progress=TerminalProgress(),
        )
    except KeyboardInterrupt:
        if not was_there:
            control.stop(folder)
        raise
    print(f"bootstrap servers: {started.bootstrap_servers}")
    if started.zookeeper_connect:
        print(f"ZooKeeper:         {started.zookeeper_connect}")
    if started.bootstrap_controllers:
        print(f"controllers:       {started.bootstrap_controllers}")
    if started.prefix:
        print(f"your names begin:  {started.prefix}")
    else:
        print("`brokerlab stop` stops it.")
    return USABLE


def _status(arguments: Any) -> int:
    try:
        if _is_of_others(arguments):
            status = lab.attach().status()
        else:
            status = control.status(_folder(arguments))
    except NoLabError:
        if arguments.json:
            print(json.dumps(_nothing(arguments.name), indent=1))
            return NO_LAB
        raise
    if arguments.json:
        print(json.dumps(status, indent=1))
    else:
        image = " of {name}, {digest}".format(**status["image"]) if "image" in status else ""
        print(f"lab {status['lab']}: {status['state']} ({status['runtime']}{image})")
        if status["why"]:
            print(f"  {status['why']}")
        says = "must log in" if status["auth"] else "need no password"
        print(f"  clients {says}: {status['auth_why']}")
        for node in status["nodes"]:
            what = what_runs(node)
            print(f"  {node['name']:<12} port {node['port']:<6} {node['state']:<9} {what}")
        if "prefix" in status:
            print(f"  your names begin with {status['prefix']}")
        for lease in status["leases"]:
            print(f"  used by {lease['what']}" + (f" (pid {lease['pid']})" if lease["pid"] else ""))
    return USABLE if status["state"] == "usable" else DEGRADED


def _nothing(name: str) -> dict[str, Any]:
    return {
        "lab": name,
        "runtime": None,
        "why": "",
        "auth": None,
        "auth_why": "",
        "state": "none",
        "bootstrap_servers": "",
        "zookeeper_connect": "",
        "bootstrap_controllers": "",
        "mode": None,
        "phase": "",
        "nodes": [],
        "leases": [],
    }


def _logs(arguments: Any) -> int:
    folder = _folder(arguments)
    file = folder.node(arguments.node) / "node.log"
    known = sorted(path.parent.name for path in folder.nodes.glob("*/node.log"))
    if arguments.node not in known:
        if _is_of_others(arguments):
            raise NotPossibleError(
                "The logs of a cluster that exists are where its brokers are: ask who runs it."
            )
        if not known:
            raise NoLabError(control.no_lab(folder.name))
        raise SettingError(f"There is no node {arguments.node!r}: there are {', '.join(known)}.")
    lines = file.read_text("utf-8", "replace").splitlines()
    print("\n".join(lines[-max(0, arguments.lines) :]))
    return USABLE


def _tools(arguments: Any) -> int:
    print(tools.kafka_folder() / "bin" if arguments.path else "\n".join(tools.TOOLS))
    return USABLE


def _stop(arguments: Any) -> int:
    asked = settings.read()
    folders = labs_with_anything(asked.home) if arguments.all else [_folder(arguments)]
    if not folders:
        print("No lab is running.")
    for folder in folders:
        try:
            control.stop(folder)
        except NoLabError:
            if _is_of_others(arguments):
                print("Nothing was started on the cluster that exists, so nothing is stopped.")
                continue
            if not arguments.all:
                raise
        print(f"Lab {folder.name} has stopped.")
    if asked.runtime == "external":
        # Not above: the other commands would wait for what this imports.
        from brokerlab import attached

        attached.forget(asked)
    return USABLE


def _topics(arguments: Any) -> int:
    names = lab.attach(arguments.name).topics()
    print("\n".join(sorted(name for name in names if not name.startswith("__"))))
    return USABLE


def _is_of_others(arguments: Any) -> bool:
    """Whether a command is about a cluster that exists, and not about a lab."""
    return settings.read().runtime == "external" and arguments.name == "main"


def _folder(arguments: Any) -> LabFolder:
    return LabFolder(settings.read().home, arguments.name)


if __name__ == "__main__":
    sys.exit(main())

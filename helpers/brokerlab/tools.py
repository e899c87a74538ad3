"""Kafka's and ZooKeeper's console tools, by their real names.

The scripts of Kafka's distribution are a shell around a Java class; these are another one around the same
class, from the same jars. They take what the real ones take, and answer what the real ones answer.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import shlex
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brokerlab import distribution, settings
from brokerlab.access import CLIENT, CONTROLLER_CLIENT, LOGIN
from brokerlab.background import Background
from brokerlab.errors import (
    BrokerLabError,
    NoLabError,
    ResourceError,
    SettingError,
)

if TYPE_CHECKING:
    from brokerlab.existing import ExistingCluster

_PACKAGE = Path(__file__).parent

LOG4J_FILES = {kind: _PACKAGE / "log4j" / f"{kind}.properties" for kind in ("node", "tool")}
LOG4J = {kind: file.as_uri() for kind, file in LOG4J_FILES.items()}

MAIN_CLASSES = {
    "zookeeper": "org.apache.zookeeper.server.quorum.QuorumPeerMain",
    "controller": "kafka.Kafka",
    "broker": "kafka.Kafka",
}


@dataclass(frozen=True)
class Tool:
    """A console tool: its main class (or none: the first argument is one), heap, log, first arguments.

    `settings` is the option that names a file with a client's settings.
    """

    main_class: str
    heap: str = "128m"
    log: str = "tool"
    first: tuple[str, ...] = ()
    version: str = distribution.KAFKA_VERSION
    settings: str = "--command-config"


TOOLS = {
    "kafka-topics.sh": Tool("org.apache.kafka.tools.TopicCommand"),
    "kafka-topics-2.8.2.sh": Tool("kafka.admin.TopicCommand", version="2.8.2"),
    "kafka-console-producer.sh": Tool("kafka.tools.ConsoleProducer", settings="--producer.config"),
    "kafka-console-consumer.sh": Tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer", settings="--consumer.config"
    ),
    "kafka-consumer-groups.sh": Tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
    "kafka-configs.sh": Tool("kafka.admin.ConfigCommand"),
    "kafka-acls.sh": Tool("kafka.admin.AclCommand"),
    "kafka-get-offsets.sh": Tool("org.apache.kafka.tools.GetOffsetShell"),
    "kafka-leader-election.sh": Tool(
        "org.apache.kafka.tools.LeaderElectionCommand", settings="--admin.config"
    ),
    "kafka-reassign-partitions.sh": Tool(
        "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
    ),
    "kafka-metadata-quorum.sh": Tool("org.apache.kafka.tools.MetadataQuorumCommand"),
    "kafka-storage.sh": Tool("kafka.tools.StorageTool"),
    "kafka-dump-log.sh": Tool("kafka.tools.DumpLogSegments"),
    "kafka-producer-perf-test.sh": Tool(
        "org.apache.kafka.tools.ProducerPerformance", heap="256m", settings="--producer.config"
    ),
    "kafka-run-class.sh": Tool(""),
    "zookeeper-shell.sh": Tool(
        "org.apache.zookeeper.ZooKeeperMainWithTlsSupportForKafka", first=("-server",)
    ),
    "zookeeper-server-start.sh": Tool(MAIN_CLASSES["zookeeper"], heap="64m", log="node"),
    "kafka-server-start.sh": Tool(MAIN_CLASSES["broker"], heap="256m", log="node"),
}

_ADDRESS_OPTIONS = ("--bootstrap-server", "--broker-list", "--zookeeper", "--bootstrap-controller")
_ADDRESSES_WITHIN_A_WORD = (*_ADDRESS_OPTIONS, "bootstrap.servers")
_KEEPER_TOOLS = ("zookeeper-shell.sh", "kafka-server-start.sh")
_HERE = ("127.0.0.1", "localhost")


def command_line(name: str, arguments: Sequence[str]) -> list[str]:
    """Return the Java command line of a console tool.

    Raises
    ------
    SettingError
        There is no such tool.
    NotFetchedError
        The jars are not in the cache yet.
    """
    tool = TOOLS.get(name)
    if tool is None:
        raise SettingError(f"There is no tool {name!r}: there are {', '.join(TOOLS)}.")
    asked = settings.read()
    if tool.version == distribution.KAFKA_VERSION:
        jars = distribution.installed(asked)
    else:
        from brokerlab.progress import TerminalProgress

        jars = distribution.prefetch_2018(asked, TerminalProgress())
    addresses = addresses_of(name, arguments)
    client = _client_of_lab_that_asks(asked.home, addresses)
    properties = {
        "log4j.configuration": LOG4J[tool.log],
        **login_properties(client.with_name(LOGIN) if client else None),
        **_temporary_folder(asked.home),
    }
    words = [*tool.first, *arguments] if arguments else []
    if client is None and (cluster := _existing_at(asked, addresses)):
        client = cluster.properties_file
        words += _own_group(cluster.prefix, name, arguments)
    if client and _is_client(name, arguments) and tool.settings not in arguments:
        # Before any subcommand, which takes other options; behind the class, where that is an argument.
        at = 0 if tool.main_class else 1
        words[at:at] = [tool.settings, str(client)]
    if tool.main_class:
        words.insert(0, tool.main_class)
    elif not words:
        raise SettingError(f"{name} runs a Java class: give its name, then its arguments.")
    return jars.command(
        *words,
        heap=tool.heap,
        initial_heap="32m",
        properties=properties,
    )


def login_properties(login: Path | None) -> dict[str, str]:
    """Return Java's properties for who logs in with a file, or for who does not."""
    if login is None:
        return {"zookeeper.sasl.client": "false"}
    return {
        "java.security.auth.login.config": str(login),
        # Else the address is looked up backwards, for a name that is of no use here.
        "zookeeper.sasl.client.canonicalize.hostname": "false",
    }


def addresses_of(name: str, arguments: Sequence[str]) -> list[str]:
    """Return the addresses that a command is given, as ``host:port``."""
    texts = [value for option, value in itertools.pairwise(arguments) if option in _ADDRESS_OPTIONS]
    pairs = (word.partition("=") for word in arguments if "=" in word)
    texts += [value for option, _, value in pairs if option in _ADDRESSES_WITHIN_A_WORD]
    if name == "zookeeper-shell.sh" and arguments:
        texts.append(arguments[0])
    if name == "kafka-server-start.sh" and arguments:
        texts += _zookeeper_in(Path(arguments[0]))
    return [address.partition("/")[0] for text in texts for address in text.split(",")]


def _zookeeper_in(file: Path) -> list[str]:
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [
        value.strip()
        for name, _, value in (line.partition("=") for line in lines)
        if name.strip() == "zookeeper.connect"
    ]


def _client_of_lab_that_asks(home: Path, addresses: Sequence[str]) -> Path | None:
    """Return what a client reads of the running lab that all addresses are of, if it asks its clients for a password.

    At the controllers another file lets in than at the brokers. What opens a lab is given to nobody else: not if one address of several is not of this lab.
    """
    # Not by way of labfolder: a tool that is typed is to start at once.
    for file in sorted((home / "labs").glob("*/state.json")) if addresses else ():
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            state = json.loads(file.read_text("utf-8"))
            its = {
                f"{host}:{node['port']}": node["role"] for node in state["nodes"] for host in _HERE
            }
            if state["auth"] and set(addresses) <= its.keys():
                at_controllers = {its[address] for address in addresses} == {"controller"}
                return file.with_name(CONTROLLER_CLIENT if at_controllers else CLIENT)
    return None


def _existing_at(asked: settings.Settings, addresses: Sequence[str]) -> ExistingCluster | None:
    """Return the cluster that exists and is to be used, if all addresses are its: its login is given to no other."""
    if not addresses or not (asked.bootstrap_servers or asked.client_properties):
        return None
    # Not above: a tool that is typed is to start at once.
    from brokerlab.existing import described

    cluster = described(asked)
    return cluster if set(addresses) <= set(cluster.servers.split(",")) else None


def _own_group(prefix: str, name: str, arguments: Sequence[str]) -> list[str]:
    """Return what lets a console consumer that is given no group invent one among the learner's own names.

    Its own invention has no prefix, so a cluster that gives rights by prefix would not let it read. As with that one,
    nothing is committed.
    """
    given = ("--group", "--partition", "--consumer.config")
    if name != "kafka-console-consumer.sh" or any(
        word.startswith(given) or "group.id=" in word for word in arguments
    ):
        return []
    group = f"{prefix}console-consumer-{secrets.randbelow(90_000) + 10_000}"
    return ["--group", group, "--consumer-property", "enable.auto.commit=false"]


def _is_client(name: str, arguments: Sequence[str]) -> bool:
    """Whether a command talks to brokers, as a client of theirs."""
    return name not in _KEEPER_TOOLS and "--zookeeper" not in arguments


def _temporary_folder(home: Path) -> dict[str, str]:
    # Kafka unpacks its compression libraries into Java's temporary folder, and loads them from there.
    if not os.statvfs("/tmp").f_flag & getattr(os, "ST_NOEXEC", 0):
        return {}
    from brokerlab.machine import make_private_folder

    folder = home / "tmp"
    with contextlib.suppress(ResourceError):
        make_private_folder(folder, "BROKERLAB_HOME")
        return {"java.io.tmpdir": str(folder)}
    return {}


def kafka_folder() -> Path:
    """Return a folder that is laid out as Kafka's own: ``bin`` with the tools, ``config`` with two samples.

    It is for commands that were written for such a folder, and for the curious: the samples are what a lab
    of one broker on the article's ports would run with, and may be edited. They are not written again.

    Raises
    ------
    ResourceError
        BROKERLAB_HOME cannot be written.
    """
    # Here, not above: a tool that is typed is to start at once.
    from brokerlab import topology
    from brokerlab.machine import make_private_folder

    home = settings.read().home
    folder = home / "kafka"
    for part in (home, folder, folder / "bin", folder / "config"):
        make_private_folder(part, "BROKERLAB_HOME")
    for name in TOOLS:
        python = f"{shlex.quote(sys.executable)} -P -m brokerlab.tools"
        _write(folder / "bin" / name, f'#!/bin/sh\nexec {python} {name} "$@"\n', mode=0o700)
    samples = (
        topology.zookeeper(topology.ARTICLE_ZOOKEEPER_PORT, {}),
        topology.broker(0, topology.ARTICLE_BROKER_PORT, topology.ARTICLE_ZOOKEEPER_PORT, 1, {}),
    )
    for sample in samples:
        file = folder / "config" / sample.properties_file
        data = f"../data/{sample.role}"
        if not file.exists():
            text = sample.properties.replace("dataDir=data", f"dataDir={data}")
            _write(file, text.replace("log.dirs=data", f"log.dirs={data}"), mode=0o600)
    return folder


def _write(file: Path, text: str, mode: int) -> None:
    if file.exists() and file.read_text("utf-8") == text:
        return
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.write_text(text, "utf-8")
    draft.chmod(mode)
    draft.replace(file)


def check_somebody_listens(name: str, arguments: Sequence[str]) -> None:
    """Make sure that one of the addresses of a command answers: the real tool would wait a minute in vain.

    Raises
    ------
    NoLabError
        None does.
    """
    if name == "kafka-server-start.sh":
        return
    addresses = addresses_of(name, arguments)
    if addresses and all(_refused(address) for address in addresses):
        raise NoLabError(
            f"Nothing listens on {', '.join(addresses)}: `brokerlab status` shows where the lab is, `brokerlab start` starts one."
        )


def _refused(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return False
    except ConnectionRefusedError:
        return True
    except (OSError, ValueError):
        # Not for us to judge: the tool itself says what is wrong with the address.
        return False


def main() -> int:
    """Be the console tool that this process is called, or that its first argument names."""
    name, *arguments = [Path(sys.argv[0]).name, *sys.argv[1:]]
    if name not in TOOLS:
        name, *arguments = arguments
    try:
        check_somebody_listens(name, arguments)
        argv = command_line(name, arguments)
    except BrokerLabError as error:
        print(error, file=sys.stderr)
        return 1
    os.execve(argv[0], argv, distribution.java_environment())


class BackgroundTool(Background):
    """A console tool that runs beside the notebook, in the folder ``bin`` of `kafka_folder`.

    Parameters
    ----------
    command : str or sequence of str
        The command as it would be typed: the tool's name first, or ``sh`` and the tool's name.
    keep : int
        How many lines of output to keep.

    Raises
    ------
    BrokerLabError
        There is no such tool, or nothing listens on the addresses it is given.
    """

    def __init__(self, command: str | Sequence[str], keep: int = 1000) -> None:
        words = shlex.split(command) if isinstance(command, str) else list(command)
        name, *arguments = words[1:] if words[:1] == ["sh"] else words
        if name not in TOOLS:
            raise SettingError(f"There is no tool {name!r}: there are {', '.join(TOOLS)}.")
        check_somebody_listens(name, arguments)
        self.argv = tuple(words)
        super().__init__(
            ["sh", name, *arguments],
            name=name,
            cwd=kafka_folder() / "bin",
            env=distribution.java_environment(),
            keep=keep,
        )


def background(command: str | Sequence[str], keep: int = 1000) -> BackgroundTool:
    """Start a console tool beside the notebook; see `BackgroundTool`."""
    return BackgroundTool(command, keep)


if __name__ == "__main__":
    sys.exit(main())

"""Write the list of classes for the archive again: ``python -m brokerlab.distribution.classlist``.

For maintainers, after the jars or the Java runtime changed. It runs ZooKeeper, two brokers and each
console tool with Java noting every class that it loads, and joins the notes.
"""

from __future__ import annotations

import gzip
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kazoo.client import KazooClient

from brokerlab import settings
from brokerlab.distribution import Distribution, java_environment, prefetch
from brokerlab.distribution.archive import CLASS_LIST
from brokerlab.progress import TerminalProgress

LIMIT = 60.0
TOPIC = "photos"

LOG4J = """\
log4j.rootLogger=WARN,stderr
log4j.appender.stderr=org.apache.log4j.ConsoleAppender
log4j.appender.stderr.Target=System.err
log4j.appender.stderr.layout=org.apache.log4j.PatternLayout
log4j.appender.stderr.layout.ConversionPattern=[%d] %p %m (%c)%n
log4j.logger.kafka=INFO,file
log4j.additivity.kafka=false
log4j.logger.org.apache=INFO,file
log4j.additivity.org.apache=false
log4j.appender.file=org.apache.log4j.RollingFileAppender
log4j.appender.file.File=${java.io.tmpdir}/server.log
log4j.appender.file.layout=org.apache.log4j.PatternLayout
log4j.appender.file.layout.ConversionPattern=[%d] %p %m (%c)%n
"""


@dataclass(frozen=True)
class Run:
    """One run that notes its classes: a folder, and ports that were free."""

    folder: Path
    distribution: Distribution
    zookeeper: int
    brokers: tuple[int, ...]

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.brokers)

    def command(self, note: str, main_class: str, *args: str) -> list[str]:
        """Return a JVM's command line that writes the classes it loads to the file `note`."""
        scratch = self.folder / f"{note}.tmp"
        scratch.mkdir()
        properties = {
            "log4j.configuration": (self.folder / "log4j.properties").as_uri(),
            "java.io.tmpdir": str(scratch),
            "zookeeper.sasl.client": "false",
        }
        java, *rest = self.distribution.command(main_class, *args, properties=properties)
        return [java, f"-XX:DumpLoadedClassList={self.folder / f'{note}.classes'}", *rest]

    def tool(self, note: str, main_class: str, *args: str, typed: str = "") -> None:
        """Run a console tool to its end."""
        subprocess.run(
            self.command(note, main_class, *args),
            env=java_environment(),
            input=typed.encode(),
            stdout=subprocess.DEVNULL,
            timeout=LIMIT,
            check=True,
        )

    @contextmanager
    def server(self, note: str, main_class: str, properties: str) -> Iterator[None]:
        """Run a server until the block ends, and let it shut down by itself."""
        file = self.folder / f"{note}.properties"
        file.write_text(properties, "utf-8")
        process = subprocess.Popen(
            self.command(note, main_class, str(file)),
            env=java_environment(),
            stdout=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(LIMIT)
            finally:
                process.kill()


def zookeeper_properties(run: Run) -> str:
    return f"""\
dataDir={run.folder / "zookeeper"}
clientPort={run.zookeeper}
clientPortAddress=127.0.0.1
tickTime=500
admin.enableServer=false
4lw.commands.whitelist=srvr,ruok,mntr,cons,dump,conf,stat
"""


def broker_properties(run: Run, number: int) -> str:
    return f"""\
broker.id={number}
listeners=PLAINTEXT://127.0.0.1:{run.brokers[number - 1]}
log.dirs={run.folder / f"broker-{number}"}
zookeeper.connect=127.0.0.1:{run.zookeeper}
offsets.topic.num.partitions=3
offsets.topic.replication.factor=2
group.initial.rebalance.delay.ms=0
controlled.shutdown.max.retries=1
controlled.shutdown.retry.backoff.ms=500
log.cleaner.dedupe.buffer.size=2097152
"""


def use_every_tool(run: Run) -> None:
    """Do once what lessons do with the console tools."""
    tools = "org.apache.kafka.tools"
    server = ("--bootstrap-server", run.bootstrap)
    topics, groups = f"{tools}.TopicCommand", f"{tools}.consumer.group.ConsumerGroupCommand"
    topic = ("--topic", TOPIC)
    move = run.folder / "move.json"
    move.write_text(
        f'{{"version":1,"partitions":[{{"topic":"{TOPIC}","partition":0,"replicas":[2,1]}}]}}'
    )
    plan = ("--reassignment-json-file", str(move))

    create = ("--create", *topic, "--partitions", "3", "--replication-factor", "2")
    run.tool("create", topics, *server, *create)
    for action in ("list", "describe"):
        run.tool(action, topics, *server, f"--{action}")
    run.tool("alter", topics, *server, "--alter", *topic, "--partitions", "4")
    run.tool("produce", "kafka.tools.ConsoleProducer", *server, *topic, typed="one\ntwo\nthree\n")
    keys = ("--property", "parse.key=true", "--property", "key.separator=:")
    run.tool("keys", "kafka.tools.ConsoleProducer", *server, *topic, *keys, typed="cam1:four\n")
    run.tool(
        "consume",
        f"{tools}.consumer.ConsoleConsumer",
        *(*server, *topic, "--from-beginning", "--group", "readers", "--max-messages", "4"),
        *("--property", "print.key=true", "--property", "print.partition=true"),
    )
    for action in ("--list", "--describe --all-groups"):
        run.tool(f"groups{action.split()[0]}", groups, *server, *action.split())
    reset = ("--reset-offsets", "--group", "readers", *topic, "--to-earliest", "--execute")
    run.tool("reset", groups, *server, *reset)
    entity = ("--entity-type", "topics", "--entity-name", TOPIC)
    setting = ("--alter", "--add-config", "min.insync.replicas=1")
    run.tool("configure", "kafka.admin.ConfigCommand", *server, *entity, *setting)
    run.tool("configs", "kafka.admin.ConfigCommand", *server, *entity, "--describe")
    run.tool("offsets", f"{tools}.GetOffsetShell", *server, *topic)
    reassign = f"{tools}.reassign.ReassignPartitionsCommand"
    run.tool("execute", reassign, *server, "--execute", *plan)
    run.tool("verify", reassign, *server, "--verify", *plan)
    preferred = ("--election-type", "preferred", "--all-topic-partitions")
    run.tool("elect", f"{tools}.LeaderElectionCommand", *server, *preferred)
    segment = run.folder / "broker-1" / f"{TOPIC}-0" / f"{0:020}.log"
    run.tool("segment", "kafka.tools.DumpLogSegments", "--print-data-log", "--files", str(segment))
    run.tool(
        "load",
        f"{tools}.ProducerPerformance",
        *(*topic, "--num-records", "1000", "--record-size", "100", "--throughput", "-1"),
        *("--producer-props", f"bootstrap.servers={run.bootstrap}"),
    )
    shell = "org.apache.zookeeper.ZooKeeperMainWithTlsSupportForKafka"
    at = ("-server", f"127.0.0.1:{run.zookeeper}")
    run.tool("znodes", shell, *at, "ls", "/brokers/ids")
    run.tool("shell", shell, *at, typed="ls /\nget /controller\nquit\n")
    run.tool("delete", topics, *server, "--delete", *topic)


def wait_until(what: str, holds: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {LIMIT:.0f} s")
        time.sleep(0.05)


def listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def note_classes(run: Run) -> None:
    """Run everything; each JVM leaves its list in the run's folder."""
    (run.folder / "log4j.properties").write_text(LOG4J, "utf-8")
    with ExitStack() as servers:
        main_class = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        servers.enter_context(run.server("zookeeper", main_class, zookeeper_properties(run)))
        wait_until("ZooKeeper's start", lambda: listens(run.zookeeper))
        zookeeper = KazooClient(f"127.0.0.1:{run.zookeeper}")
        zookeeper.start(timeout=LIMIT)
        servers.callback(zookeeper.close)
        servers.callback(zookeeper.stop)
        for number in (1, 2):
            properties = broker_properties(run, number)
            servers.enter_context(run.server(f"broker-{number}", "kafka.Kafka", properties))
        wait_until(
            "the start of the brokers",
            lambda: bool(
                zookeeper.exists("/brokers/ids/1")
                and zookeeper.exists("/brokers/ids/2")
                and zookeeper.exists("/controller")
            ),
        )
        use_every_tool(run)


def join(lists: list[str]) -> str:
    """Join class lists: every class once, by name alone, and behind them the lambdas, once each."""
    lines = [line for text in lists for line in text.splitlines() if not line.startswith("#")]
    classes = sorted({line.split()[0] for line in lines if not line.startswith("@")})
    lambdas = sorted({line for line in lines if line.startswith("@lambda-proxy")})
    return "\n".join((*classes, *lambdas, ""))


def main() -> None:
    """Write the list."""
    distribution = prefetch(settings.read(), TerminalProgress())
    without = Distribution(distribution.version, distribution.java, distribution.jars, None)
    zookeeper, *brokers = free_ports(3)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), without, zookeeper, tuple(brokers))
        note_classes(run)
        joined = join([file.read_text("utf-8") for file in Path(folder).glob("*.classes")])
    temporary = CLASS_LIST.with_suffix(".new")
    temporary.write_bytes(gzip.compress(joined.encode(), 9, mtime=0))
    temporary.replace(CLASS_LIST)
    print(f"{joined.count(chr(10))} lines, {CLASS_LIST.stat().st_size / 1000:.0f} kB compressed")


if __name__ == "__main__":
    main()

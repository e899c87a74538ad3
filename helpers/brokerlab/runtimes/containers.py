"""A node as a Docker container on this machine, all of them from one image.

A lab has a network of its own, in which the nodes find each other by name; clients find them at
ports of the loopback address. Everything that is created carries the lab's mark as a label. The mark is kept in the
lab's folder, so what a supervisor that died has left is found and removed by the next one, and nothing else ever is.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from docker.errors import APIError, NotFound
from docker.types import LogConfig
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from brokerlab import topology
from brokerlab.access import LOGIN
from brokerlab.distribution import FLAGS
from brokerlab.errors import DockerError, PortTakenError
from brokerlab.labfolder import LabFolder
from brokerlab.runtimes import HEAPS, RunningNode, daemon
from brokerlab.runtimes.daemon import Image
from brokerlab.tools import LOG4J_FILES, login_properties
from brokerlab.topology import NodeSpec

LABEL = "brokerlab.mark"
# Writable for whoever the image runs as, so that relative paths in the properties work as on this machine.
PLACE = "/tmp"
CONFIG = Path(PLACE) / "config"
SCRIPTS = {
    "zookeeper": "/opt/kafka/bin/zookeeper-server-start.sh",
    "broker": "/opt/kafka/bin/kafka-server-start.sh",
}
ARCHIVE_FLAG = "-XX:SharedArchiveFile=/opt/kafka/kafka.jsa"
REPAIR = "then call lab.repair()"

# Ryuk would remove the nodes with the process that started them, and could not tell a restart from an end.
testcontainers_config.ryuk_disabled = True
# What is asked for by BROKERLAB_IMAGE is meant as it stands.
testcontainers_config.hub_image_name_prefix = ""
# At INFO it says of every start that it pulls the image, which it does not.
logging.getLogger("testcontainers").setLevel(logging.WARNING)

log = logging.getLogger(__name__)


class ContainerNode:
    """A container that was started by `ContainerRuntime`, and whose output goes to `log_file`."""

    def __init__(self, container: Any, log_file: Path) -> None:
        self._container = container
        self._ended = threading.Event()
        self._exit_code: int | None = None
        threading.Thread(target=self._follow, args=(log_file,), daemon=True).start()

    def _follow(self, log_file: Path) -> None:
        """Write what the node says into its log, and notice its end."""
        try:
            started = _seconds(self._container.attrs["State"]["StartedAt"])
            with log_file.open("ab", buffering=0) as file:
                for chunk in self._container.logs(stream=True, follow=True, since=started):
                    file.write(chunk)
            code = self._container.wait(timeout=None)["StatusCode"]
            # Docker tells a signal as a shell does.
            self._exit_code = 128 - code if code > 128 else code
        except Exception as error:
            log.warning("lost sight of %s: %r", self._container.name, error)
        self._ended.set()

    def alive(self) -> bool:
        return not self._ended.is_set()

    def exit_code(self) -> int | None:
        return self._exit_code

    def describe(self) -> dict[str, Any]:
        pid = self._container.attrs["State"]["Pid"]
        return {
            "pid": pid if _is_here(pid, self._container.id) else None,
            "born": None,
            "container": self._container.short_id,
        }

    def terminate(self) -> None:
        self._do("kill", signal="SIGTERM")

    def kill(self) -> None:
        self._do("kill")

    def pause(self) -> None:
        self._do("pause")

    def resume(self) -> None:
        with daemon.told(REPAIR):
            self._container.reload()
            paused = self._container.status == "paused"
        if paused:
            self._do("unpause")
        else:
            # Somebody may have stopped the process itself.
            self._do("kill", signal="SIGCONT")

    def _do(self, verb: str, **arguments: Any) -> None:
        with daemon.told(REPAIR):
            try:
                getattr(self._container, verb)(**arguments)
            except APIError:
                # It may have ended by itself a moment ago.
                self._container.reload()
                if self._container.status in ("running", "paused"):
                    raise


def _seconds(instant: str) -> float:
    # Docker tells nanoseconds, which Python's time stamps do not hold.
    whole, _, fraction = instant.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction[:6] or 0}")


def _is_data(member: tarfile.TarInfo) -> bool:
    """Whether it is what a node's data consists of, and stays in the folder that it is unpacked in."""
    path = PurePosixPath(member.name)
    return (member.isfile() or member.isdir()) and not path.is_absolute() and ".." not in path.parts


def _is_here(pid: int, container: str) -> bool:
    """Whether the pid is one of this system, and not of a virtual machine in which the daemon runs."""
    with contextlib.suppress(OSError):
        return container in Path(f"/proc/{pid}/cgroup").read_text()
    return False


@contextlib.contextmanager
def _config(node: NodeSpec, login: Path | None) -> Iterator[Path]:
    """Lay out the folder that is copied into a container, readable for whoever the image runs as.

    On this machine it lies in a folder that nobody else can enter.
    """
    with tempfile.TemporaryDirectory(prefix="brokerlab-") as scratch:
        folder = Path(scratch) / CONFIG.name
        folder.mkdir()
        folder.chmod(0o755)
        texts = {
            node.properties_file: node.properties,
            "log4j.properties": LOG4J_FILES["node"].read_text("ascii"),
            **({LOGIN: login.read_text("ascii")} if login else {}),
        }
        for name, text in texts.items():
            (folder / name).write_text(text, "ascii")
            (folder / name).chmod(0o644)
        yield folder


class ContainerRuntime:
    """Starts ZooKeeper and brokers as containers of one image, through testcontainers."""

    name = "containers"
    apart = True
    clear_seconds = 1.5

    def __init__(self, folder: LabFolder, image: Image) -> None:
        self._lab = folder
        self._image = image
        self._mark = secrets.token_hex(8)
        self._network: Network | None = None
        self._containers: dict[str, Any] = {}
        self._creating = threading.Lock()

    def describe(self) -> dict[str, Any]:
        return {"image": self._image.to_dict()}

    def start(self, node: NodeSpec, folder: Path, login: Path | None) -> RunningNode:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / node.properties_file).write_text(node.properties, encoding="ascii")
        with daemon.told(REPAIR if self._containers else daemon.LOCALLY):
            daemon.check(REPAIR if self._containers else daemon.LOCALLY)
            try:
                container = self._start_again(node) or self._create(node, login)
            except APIError as error:
                if "already allocated" in str(error) or "already in use" in str(error):
                    raise PortTakenError(
                        f"Port {node.port} of {node.name} is taken by another program: end that program, then start {node.name} again."
                    ) from None
                raise
            self._check_published(container, node.port)
            return ContainerNode(container, folder / "node.log")

    def _start_again(self, node: NodeSpec) -> Any:
        """Start the container that the node had before, with its data; None if there is none."""
        container = self._containers.get(node.name)
        if container is not None:
            try:
                container.start()
                container.reload()
            except NotFound:
                return None
        return container

    def _create(self, node: NodeSpec, login: Path | None) -> Any:
        network = self._network_of_lab()
        heap, initial = HEAPS[node.role]
        logging_in = login_properties(CONFIG / LOGIN if login else None)
        wanted = (
            DockerContainer(self._image.id, docker_client_kw={"timeout": daemon.WORK_SECONDS})
            .with_name(f"{network.name}-{node.name}")
            .with_command([SCRIPTS[node.role], f"{CONFIG}/{node.properties_file}"])
            .with_envs(
                KAFKA_HEAP_OPTS=f"-Xms{initial} -Xmx{heap}",
                KAFKA_JVM_PERFORMANCE_OPTS=" ".join((*FLAGS, ARCHIVE_FLAG)),
                KAFKA_LOG4J_OPTS=f"-Dlog4j.configuration=file:{CONFIG}/log4j.properties",
                KAFKA_OPTS=" ".join(f"-D{name}={value}" for name, value in logging_in.items()),
                # Not empty, or the script opens a port for monitoring.
                KAFKA_JMX_OPTS=" ",
                # Without this the script runs a Java first, to ask for its version.
                EXTRA_ARGS=f"-name {node.name}",
                LOG_DIR=f"{PLACE}/logs",
            )
            .with_network(network)
            .with_network_aliases(node.name)
            .with_kwargs(
                labels=self._labels(),
                hostname=node.name,
                working_dir=PLACE,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                # The one driver whose log can be read on every installation.
                log_config=LogConfig(type="json-file", config={"max-size": "20m"}),
            )
        )
        # with_bind_ports would publish on every address of the machine.
        wanted.ports[f"{node.port}/tcp"] = (topology.HOST, node.port)  # type: ignore[assignment]
        with _config(node, login) as config:
            # A folder at once: each copy costs a tenth of a second.
            wanted.with_copy_into_container(config, str(CONFIG.parent))
            try:
                wanted.start()
            except BaseException:
                # Its name must be free for the next attempt.
                wanted.stop()
                raise
        container = wanted.get_wrapped_container()
        self._containers[node.name] = container
        container.reload()
        return container

    def _network_of_lab(self) -> Network:
        with self._creating:
            if self._network is None:
                self._lab.containers_mark.write_text(self._mark, "ascii")
                network = Network(
                    docker_client_kw={"timeout": daemon.WORK_SECONDS},
                    docker_network_kw={"labels": self._labels()},
                )
                network.name = f"brokerlab-{self._lab.name}-{self._mark}"
                self._network = network.create()
            return self._network

    def _labels(self) -> dict[str, str]:
        return {
            LABEL: self._mark,
            "brokerlab.lab": self._lab.name,
            "brokerlab.home": str(self._lab.home),
        }

    def _check_published(self, container: Any, port: int) -> None:
        """Make sure that the node can be reached on this machine's loopback address, and nowhere else."""
        published = container.attrs["NetworkSettings"]["Ports"] or {}
        addresses = [
            (b["HostIp"], b["HostPort"]) for bound in published.values() for b in bound or ()
        ]
        if addresses == [(topology.HOST, str(port))] and not topology.port_is_free(port):
            return
        container.reload()
        if container.status == "exited":
            # It died at once, and its ports went with it; its log says why.
            return
        container.remove(force=True, v=True)
        raise DockerError(
            f"Docker has published {addresses or 'no port'} where {topology.HOST}:{port} of this machine was asked for, and the container was removed: "
            f"use a daemon of this machine, {daemon.LOCALLY}."
        )

    def data(self, node: NodeSpec, folder: Path) -> Path:
        with daemon.told(REPAIR), tempfile.TemporaryFile() as copied:
            stream, _ = self._containers[node.name].get_archive(f"{PLACE}/{topology.DATA}")
            copied.writelines(stream)
            copied.seek(0)
            shutil.rmtree(folder / topology.DATA, ignore_errors=True)
            with tarfile.open(fileobj=copied) as archive:
                # Python knows this filter since 3.11.4, and Debian 12 has an older one.
                archive.extraction_filter = getattr(tarfile, "data_filter", None)
                archive.extractall(folder, filter(_is_data, archive))
        return folder / topology.DATA

    def clear(self) -> None:
        if self._network is not None:
            # By the mark in memory: the lab's folder may have been deleted, with the one that was written.
            _remove(self._mark)
            self._lab.containers_mark.unlink(missing_ok=True)
        self._containers.clear()
        self._network = None


def sweep(folder: LabFolder) -> None:
    """Remove the containers and the network of a lab, with the containers' volumes; of nobody else's.

    Raises
    ------
    DockerError
        The daemon does not answer; the mark stays, so that they can be removed later.
    """
    try:
        mark = folder.containers_mark.read_text("ascii")
    except FileNotFoundError:
        return
    _remove(mark)
    folder.containers_mark.unlink(missing_ok=True)


def _remove(mark: str) -> None:
    """Remove every container with this mark, then the network with it."""
    wanted = {"label": f"{LABEL}={mark}"}

    def remove(container: Any) -> None:
        with contextlib.suppress(NotFound):
            container.remove(force=True, v=True)

    daemon.check()
    with daemon.told(), contextlib.closing(daemon.client()) as docker, ThreadPoolExecutor() as many:
        found = docker.containers.list(all=True, filters=wanted, ignore_removed=True)
        list(many.map(remove, found))
        for network in docker.networks.list(filters=wanted):
            with contextlib.suppress(NotFound):
                network.remove()

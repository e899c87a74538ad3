"""Kafka Connect beside a lab: one standalone worker as a process of the notebook, and its connectors."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from brokerlab import settings, topology
from brokerlab.access import PASSWORD, USER, Access, Secret
from brokerlab.background import Background
from brokerlab.connectfolder import WORKER, ConnectFolder
from brokerlab.connectors import Connector, described, why_refused
from brokerlab.distribution import java_environment, prefetch_connect
from brokerlab.errors import (
    LabBusyError,
    NodeFailedError,
    NotLetInError,
    PortTakenError,
    SettingError,
)
from brokerlab.labfolder import LabFolder, ports_of_running_labs
from brokerlab.lastwords import why_it_died
from brokerlab.processes import listener_on, listens
from brokerlab.progress import Progress, in_notebook_or_terminal
from brokerlab.tools import LOG4J, login_properties

READY_SECONDS = 60.0
STOP_SECONDS = 15.0
CHANGE_SECONDS = 30.0
ANSWER_SECONDS = 20.0
HEAP = "96m"
POLL_SECONDS = 0.05
_MAIN_CLASS = "org.apache.kafka.connect.cli.ConnectStandalone"
_KEPT_LINES = 20_000


class Connect:
    """One standalone worker of Kafka Connect; it ends with this process at the latest.

    What it must remember lies in its folder: its connectors, one properties file each, and how far the sources
    have come. So it goes on where it was, also after a crash; both are gone when the lab stops.

    Attributes
    ----------
    folder : pathlib.Path
        Its folder, in the lab's.
    offsets_file : pathlib.Path
        Where the worker keeps the sources' offsets.
    """

    def __init__(self, lab: LabFolder, client: Mapping[str, Any], cluster_id: str | None) -> None:
        self._lab = lab
        self._cluster = dict(client)
        self._access = Access()
        self.cluster_id = cluster_id
        self._own = ConnectFolder(lab.connect)
        self.folder = self._own.path
        self.offsets_file = self._own.offsets_file
        self._worker: Background | None = None
        self._heard: Background | None = None
        self._held: int | None = None
        self._port = 0
        self._client = httpx.Client(timeout=ANSWER_SECONDS, trust_env=False)

    @property
    def url(self) -> str:
        """The address of its REST interface, which it keeps; on 127.0.0.1 alone.

        Raises
        ------
        SettingError
            It was not started yet.
        """
        if not self._port:
            raise SettingError("Kafka Connect was not started yet: lab.connect.start() does it.")
        return f"http://{topology.HOST}:{self._port}"

    @property
    def auth(self) -> tuple[str, Secret] | None:
        """User and password of its REST interface, as `httpx` and `requests` take them; None where it asks for none.

        It has a password of its own, new at each start: who takes the port of a worker that is down learns none that is
        of use.
        """
        return None if self._access.secret is None else (USER, self._access.secret)

    @property
    def state(self) -> str:
        """``running``, ``paused``, ``stopped``, ``killed`` or ``died``."""
        return self._worker.state if self._worker else "stopped"

    @property
    def pid(self) -> int | None:
        """The process id, or None while there is none."""
        return self._worker.pid if self._worker and self._worker.running else None

    @property
    def files(self) -> Path:
        """A folder for what connectors read and write, made where it is missing."""
        self._own.make(self._own.files)
        return self._own.files

    # The process.

    def start(self, progress: Progress | None = None) -> float:
        """Start the worker with the connectors that were put; return after how many seconds all of them ran.

        One that runs already goes on. The first start fetches the jars, 34 MB.

        Parameters
        ----------
        progress : Progress, optional
            Where a fetch is shown; by default in the notebook or on the terminal.

        Raises
        ------
        BrokerLabError
            It did not start; the sentence says why and what to do.
        """
        if self._worker and self._worker.running:
            return 0.0
        asked = settings.read()
        distribution, plugin = prefetch_connect(asked, progress or in_notebook_or_terminal())
        self._hold()
        self._own.lay_out(plugin)
        self._choose_port()
        closed = PASSWORD in self._cluster
        self._access = Access.closed() if closed else Access()
        self._own.write_worker(self._cluster, self.url, self._access)
        known = self._own.connectors()
        argv = distribution.command(
            _MAIN_CLASS,
            WORKER,
            *(str(file.relative_to(self.folder)) for file in known.values()),
            heap=HEAP,
            initial_heap="32m",
            properties={
                "log4j.configuration": LOG4J["node"],
                "java.io.tmpdir": str(self._own.tmp),
                "org.sqlite.tmpdir": str(self._own.tmp),
                **(login_properties(self._lab.login_file) if closed else {}),
            },
        )
        begun = time.monotonic()
        self._worker = Background(
            argv,
            name="Kafka Connect",
            cwd=self.folder,
            env=java_environment(),
            keep=_KEPT_LINES,
        )
        try:
            self._wait_until(
                lambda: len(self.connectors()) == len(known) and self._settled(),
                READY_SECONDS,
                "its connectors to run",
            )
        except (NodeFailedError, NotLetInError):
            self.end()
            raise
        return time.monotonic() - begun

    def stop(self) -> float:
        """Shut it down in an orderly way (SIGTERM): sources note how far they are; return after how many seconds."""
        worker = self._running()
        begun = time.monotonic()
        worker.stop(STOP_SECONDS)
        return time.monotonic() - begun

    def kill(self) -> None:
        """End it as a crash would (SIGKILL): what it has not noted yet it will do again, or never."""
        self._running().kill()

    def end(self) -> None:
        """Kill it if it runs, and let another notebook start one; to end twice does nothing."""
        if self._worker and self._worker.running:
            self._worker.kill()
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def clear(self) -> None:
        """End it, and forget its connectors, its offsets and its files."""
        self.end()
        self._own.clear()

    def log(self, lines: int = 20, containing: str = "") -> str:
        """Return the last `lines` lines of its log that hold the text `containing`."""
        told = self._worker.lines if self._worker else ()
        return "\n".join([line for line in told if containing in line][-lines:])

    # Its connectors.

    def put(self, name: str, config: Mapping[str, object]) -> Connector:
        """Add a connector, or change one; return how it stands when its tasks run, or one has failed.

        Parameters
        ----------
        name : str
        config : mapping
            Its properties, without its name.

        Raises
        ------
        SettingError
            Connect refuses the properties; the sentence says why.
        NodeFailedError
            The worker does not run, or no task ran in time.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise SettingError(
                f"{name!r} cannot be the name of a connector: use letters, digits, dots and hyphens."
            )
        plain = {key: str(one) if isinstance(one, Path) else one for key, one in config.items()}
        config = topology.check_overrides(plain, "connector")
        self._ask("PUT", f"/connectors/{name}/config", config)
        # Standalone, the worker itself forgets what came over its REST interface.
        self._own.remember(name, config)
        return self._started(name)

    def remove(self, name: str) -> None:
        """Remove a connector; how far it has come is remembered for the next one of that name."""
        self._ask("DELETE", f"/connectors/{quote(name)}")
        self._own.forget(name)

    def pause(self, name: str) -> Connector:
        """Let a connector's tasks rest: they keep their place, and move nothing."""
        return self._change(name, "pause", "PAUSED")

    def resume(self, name: str) -> Connector:
        """Let a paused connector go on."""
        return self._change(name, "resume", "RUNNING")

    def restart(self, name: str) -> Connector:
        """Start a connector and its tasks again, for example after one has failed."""
        self._ask("POST", f"/connectors/{quote(name)}/restart?includeTasks=true")
        return self._started(name)

    def connectors(self) -> dict[str, Connector]:
        """Return every connector by name, as Connect describes it now."""
        told = self._ask("GET", "/connectors?expand=status&expand=info")
        return {
            name: described(one["status"], one["info"]["config"])
            for name, one in sorted(told.items())
            # One that was added or removed a moment ago has a part of this only.
            if one.get("status") and (one.get("info") or {}).get("config")
        }

    def connector(self, name: str) -> Connector:
        """Return one connector, as Connect describes it now.

        Raises
        ------
        SettingError
            There is none of this name.
        """
        config = self._ask("GET", f"/connectors/{quote(name)}/config")
        return described(self._ask("GET", f"/connectors/{quote(name)}/status"), config)

    def offsets(self, name: str) -> list[dict[str, Any]]:
        """Return how far a connector is: ``partition`` (of what it reads) and ``offset``, as Connect tells them.

        A source's are those that it has noted last, a sink's those that its group has committed.
        """
        told: list[dict[str, Any]] = self._ask("GET", f"/connectors/{quote(name)}/offsets")[
            "offsets"
        ]
        return told

    # How it is done.

    def _change(self, name: str, verb: str, state: str) -> Connector:
        self._ask("PUT", f"/connectors/{quote(name)}/{verb}")

        def done() -> bool:
            now = self.connector(name)
            return now.is_wholly(state) or bool(now.tasks and now.problem)

        self._wait_until(done, CHANGE_SECONDS, f"{name} to be {state}")
        return self.connector(name)

    def _started(self, name: str) -> Connector:
        """Wait until a connector runs, or has failed; return how it stands then."""

        def done() -> bool:
            now = self.connector(name)
            return now.running or bool(now.problem)

        self._wait_until(done, CHANGE_SECONDS, f"a task of {name} to run")
        return self.connector(name)

    def _settled(self) -> bool:
        return all(one.running or one.problem for one in self.connectors().values())

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        self._make_sure_it_listens(self._running())
        try:
            answer = self._client.request(method, self.url + path, json=body, auth=self.auth)
        except httpx.HTTPError:
            self._running()
            raise NodeFailedError(
                f"Kafka Connect has not answered within {ANSWER_SECONDS:.0f} s: lab.connect.log() shows what it does."
            ) from None
        if answer.status_code == 401:
            raise NotLetInError(
                f"Kafka Connect does not take this notebook's password, as when {self._lab.login_file} is an older BrokerLab's or was changed: "
                "stop the lab with lab.stop(), start it, then start Connect again."
            )
        if answer.status_code == 404 and (named := re.match("/connectors/([^/]+)", path)):
            raise SettingError(f"There is no connector {named[1]!r}: {self._names()}.")
        if answer.status_code >= 400:
            raise SettingError(f"Kafka Connect refuses: {_reason(answer)}")
        return answer.json() if answer.content else None

    def _make_sure_it_listens(self, worker: Background) -> None:
        """Tell the password to nobody else, who may listen on this port until the worker does."""
        if self.auth and self._heard is not worker:
            if not listens(worker.pid, self._port):
                raise NodeFailedError("Kafka Connect does not listen yet: ask again in a moment.")
            self._heard = worker

    def _names(self) -> str:
        known = ", ".join(self._own.connectors())
        return f"there are {known}" if known else "there is none"

    def _running(self) -> Background:
        worker = self._worker
        if worker is None or not worker.running:
            raise NodeFailedError(self._why_not())
        return worker

    def _why_not(self) -> str:
        if self._worker and self.state == "died":
            why = why_it_died("\n".join(self._worker.lines), self._worker.exit_code)
            return f"Kafka Connect has died: {why}; lab.connect.start() starts it again."
        return f"Kafka Connect does not run (it is {self.state}): lab.connect.start() starts it."

    def _wait_until(self, true: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while True:
            self._running()
            # Before it listens, and while a connector is made, the answer is an error.
            with contextlib.suppress(SettingError, httpx.HTTPError, NodeFailedError):
                if true():
                    return
            self._running()
            if time.monotonic() > deadline:
                raise NodeFailedError(
                    f"Kafka Connect has been waiting {seconds:.0f} s for {what}: lab.connect.log() shows why."
                )
            time.sleep(POLL_SECONDS)

    def _hold(self) -> None:
        if self._held is not None:
            return
        self._own.make(self.folder)
        self._held = self._lab.try_lock("connect")
        if self._held is None:
            raise LabBusyError(
                "Another notebook runs Kafka Connect on this lab: stop that one with lab.connect.end() there."
            )

    def _choose_port(self) -> None:
        if not self._port:
            self._port = topology.choose_connect_port(ports_of_running_labs(self._lab.home))
        elif not topology.port_is_free(self._port):
            raise PortTakenError(
                f"Port {self._port} of Kafka Connect is taken by {listener_on(self._port)}: end that program, then start it again."
            )

    def __repr__(self) -> str:
        at = f" on {self.url}" if self._port else ""
        return f"<Kafka Connect{at}: {self.state}>"


_known: dict[Path, Connect] = {}


def connect_of(lab: LabFolder, client: Mapping[str, Any], cluster_id: str | None) -> Connect:
    """Return this process's Connect of a lab; of a lab that was stopped and started again, a new one."""
    known = _known.get(lab.path)
    if known is None or known.cluster_id != cluster_id:
        if known is not None:
            known.end()
        known = _known[lab.path] = Connect(lab, client, cluster_id)
    return known


def _reason(answer: httpx.Response) -> str:
    try:
        return why_refused(str(answer.json()["message"]))
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}."

"""The folder of Kafka Connect beside a lab: what its worker reads, and what it remembers.

::

    LAB/connect/
        worker.properties   what the worker is told of the cluster and of itself
        rest.properties     who its REST interface lets in, if the lab asks for a password
        connectors/         a properties file for each connector: what came over the REST interface is forgotten
        connect.offsets     how far the sources have come
        plugins/            the connectors that are not Kafka's own
        files/              what connectors read and write
        tmp/                where libraries are unpacked
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brokerlab import topology
from brokerlab.access import CONNECT_LOGIN, PASSWORD, USER, Access
from brokerlab.machine import make_private_folder, write_private

WORKER = "worker.properties"

_ASKS_FOR_A_PASSWORD = (
    "org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension"
)
_CAMEL = "org.apache.camel.kafkaconnector"
_PYTHONS_LOGIN = ("sasl.username", PASSWORD)
_SERVICES = {
    "org.apache.kafka.connect.source.SourceConnector": f"{_CAMEL}.CamelSourceConnector\n",
    "org.apache.kafka.connect.sink.SinkConnector": f"{_CAMEL}.CamelSinkConnector\n",
}


class ConnectFolder:
    """The folder `path`; what is in it is made when it is needed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offsets_file = path / "connect.offsets"
        self.files = path / "files"
        self.tmp = path / "tmp"
        self._plugins = path / "plugins"
        self._connectors = path / "connectors"

    def make(self, folder: Path) -> None:
        """Make one of its folders, for its owner alone."""
        for one in (self.path, folder):
            make_private_folder(one, "BROKERLAB_HOME")

    def lay_out(self, plugin: Sequence[Path]) -> None:
        """Make what a worker needs; the plugin gets a folder of its own, which gives it a class loader of its own."""
        camel = self._plugins / "camel"
        for folder in (self._connectors, self.tmp, self._plugins, camel):
            self.make(folder)
        for jar in plugin:
            link = camel / jar.name
            link.unlink(missing_ok=True)
            link.symlink_to(jar)
        # Without this list Connect would look into every class of the plugin: 2 s more at each start.
        with zipfile.ZipFile(camel / "services.jar", "w") as services:
            for kind, classes in _SERVICES.items():
                services.writestr(f"META-INF/services/{kind}", classes)

    def write_worker(self, client: Mapping[str, Any], url: str, access: Access) -> None:
        """Write what a worker is told: how a client gets to the cluster, where it listens itself, and whom it lets in."""
        properties = {
            **_for_java(client),
            "listeners": url,
            "plugin.path": str(self._plugins),
            "plugin.discovery": "service_load",
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.storage.StringConverter",
            "offset.storage.file.filename": str(self.offsets_file),
            "offset.flush.interval.ms": "1000",
            # After a crash, sinks wait for the session of the dead: 45 s by default.
            "consumer.session.timeout.ms": "3000",
            "consumer.heartbeat.interval.ms": "500",
        }
        if access.secret is not None:
            properties["rest.extension.classes"] = _ASKS_FOR_A_PASSWORD
            lets_in = topology.render({USER: access.secret})
            write_private(self.path / CONNECT_LOGIN, lets_in)
        write_private(self.path / WORKER, topology.render(properties))

    def connectors(self) -> dict[str, Path]:
        """Return the file of each connector that is remembered, by its name."""
        return {file.stem: file for file in sorted(self._connectors.glob("*.properties"))}

    def remember(self, name: str, config: Mapping[str, str]) -> None:
        """Write a connector's file."""
        write_private(self._file(name), topology.render({"name": name, **config}))

    def forget(self, name: str) -> None:
        """Remove a connector's file."""
        self._file(name).unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self._connectors / f"{name}.properties"

    def clear(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.path, ignore_errors=True)


def _for_java(client: Mapping[str, Any]) -> dict[str, str]:
    """Return a client's settings as a worker, and each client of a connector, wants them: Java logs in by a file of its own."""
    return {
        f"{whose}{key}": str(value)
        for whose in ("", "producer.", "consumer.", "admin.")
        for key, value in client.items()
        if key not in _PYTHONS_LOGIN
    }

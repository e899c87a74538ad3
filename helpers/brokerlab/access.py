"""What a client needs to know to be let in: the same for every kind of client, in memory and in files.

A lab's folder holds a file for Kafka clients and one for ZooKeeper clients. Programs are given the path of such a file,
never what is in it: a command line and an environment can be read by others, and a file of mode 0600 cannot.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brokerlab.errors import NoLabError

CLIENT, ZOOKEEPER_CLIENT, LOGIN = "client.properties", "zookeeper.json", "login.jaas"
"""The files in a lab's folder that let in: Kafka clients, ZooKeeper clients, and Java."""

CONTROLLER_KEY, CONTROLLER_CLIENT = "controllers.pem", "controllers.properties"
"""What lets in at the controllers: a key with its certificate, and a file for Kafka's tools that names it."""

CONNECT_LOGIN = "rest.properties"
"""The file in the folder of Kafka Connect that holds who its REST interface lets in."""

USER = "lab"
# The mechanism does not tell the password to who listens, as somebody else may on the port of a broker that is down.
MECHANISM = "SCRAM-SHA-256"
ITERATIONS = 4096
PASSWORD = "sasl.password"

_SCRAM_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"
_DIGEST_MODULE = "org.apache.zookeeper.server.auth.DigestLoginModule"
_FILE_MODULE = "org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule"


class Secret(str):
    """Text that is shown only to who prints it by itself: neither it nor a dictionary with it shows it in its `repr`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'(secret)'"


@dataclass(frozen=True)
class Access:
    """Who is let in: whoever comes, or whoever knows the secret.

    Attributes
    ----------
    secret : Secret or None
        None lets everybody in.
    """

    secret: Secret | None = None

    @classmethod
    def closed(cls) -> Access:
        """Return an access with a new secret of 256 random bits."""
        return cls(Secret(secrets.token_hex(32)))

    def kafka(self, servers: str) -> dict[str, Any]:
        """Return the settings of a Kafka client."""
        if self.secret is None:
            return {"bootstrap.servers": servers}
        return {
            "bootstrap.servers": servers,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": MECHANISM,
            "sasl.username": USER,
            PASSWORD: self.secret,
        }

    def zookeeper(self, hosts: str) -> dict[str, Any]:
        """Return the arguments of a `kazoo.client.KazooClient`."""
        if self.secret is None:
            return {"hosts": hosts}
        login = {"mechanism": "DIGEST-MD5", "username": USER, "password": self.secret}
        return {"hosts": hosts, "sasl_options": login}

    def jaas(self) -> str:
        """Return what Java reads to log in: as a Kafka or ZooKeeper client, as a broker, and as ZooKeeper itself.

        Kafka Connect reads its own password beside it: from a file in the folder where it runs.
        """
        scram = f'{_SCRAM_MODULE} required username="{USER}" password="{self.secret}";'
        digest = f'{_DIGEST_MODULE} required username="{USER}" password="{self.secret}";'
        server = f'{_DIGEST_MODULE} required user_{USER}="{self.secret}";'
        logins = {"KafkaClient": scram, "KafkaServer": scram, "Client": digest, "Server": server}
        logins["KafkaConnect"] = f'{_FILE_MODULE} required file="{CONNECT_LOGIN}";'
        return "".join(f"{name} {{\n  {login}\n}};\n" for name, login in logins.items())

    def salted(self) -> tuple[bytes, bytes]:
        """Return a new salt, and the secret salted with it: as good as the secret itself, and as little to be shown."""
        salt = secrets.token_bytes(24)
        return salt, hashlib.pbkdf2_hmac("sha256", (self.secret or "").encode(), salt, ITERATIONS)

    def scram_credential(self) -> str:
        """Return what the brokers keep to recognise the secret by, as ZooKeeper holds it for them (RFC 5802)."""
        salt, salted = self.salted()
        stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
        server = hmac.digest(salted, b"Server Key", "sha256")
        parts = {"salt": salt, "stored_key": stored, "server_key": server}
        texts = [f"{name}={b64encode(value).decode()}" for name, value in parts.items()]
        config = {MECHANISM: ",".join([*texts, f"iterations={ITERATIONS}"])}
        return json.dumps({"version": 1, "config": config})


def read_client(file: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the settings of a Kafka client: what `confluent_kafka` needs to know of the cluster.

    Parameters
    ----------
    file : path
        A lab's ``lab.client_file``: lines of ``name=value``.

    Raises
    ------
    NoLabError
        There is no such file, or it is none of these.
    """
    lines = _read(file, "lab.client_file").splitlines()
    settings: dict[str, Any] = dict(line.split("=", 1) for line in lines if "=" in line)
    if "bootstrap.servers" not in settings:
        raise _no_file(file, "lab.client_file")
    if PASSWORD in settings:
        settings[PASSWORD] = Secret(settings[PASSWORD])
    return settings


def read_zookeeper(file: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the arguments of a ZooKeeper client, for ``KazooClient(**arguments)``.

    Parameters
    ----------
    file : path
        A lab's ``lab.zookeeper_client_file``.

    Raises
    ------
    NoLabError
        There is no such file, or it is none of these.
    """
    try:
        arguments = json.loads(_read(file, "lab.zookeeper_client_file"))
    except ValueError:
        raise _no_file(file, "lab.zookeeper_client_file") from None
    if not isinstance(arguments, dict):
        raise _no_file(file, "lab.zookeeper_client_file")
    if login := arguments.get("sasl_options"):
        login["password"] = Secret(login["password"])
    return arguments


def properties(settings: Mapping[str, Any]) -> str:
    """Return the text that `read_client` reads."""
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _read(file: str | os.PathLike[str], what: str) -> str:
    try:
        return Path(file).read_text("utf-8")
    except (OSError, ValueError):
        raise _no_file(file, what) from None


def _no_file(file: str | os.PathLike[str], what: str) -> NoLabError:
    return NoLabError(
        f"{os.fspath(file)!r} is no client file of a running lab: give {what}, as a path."
    )

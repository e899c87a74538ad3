"""The environment variables, read and checked in one place.

Every other module asks here; none reads ``os.environ`` for a setting of its own.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from brokerlab.errors import SettingError

RUNTIMES = ("auto", "local", "containers", "external")
AUTH = ("auto", "on", "off")
IMAGE = "apache/kafka:3.9.2"

VARIABLES = {
    "BROKERLAB_HOME": "folder of the runtime state: one folder a lab with its data, logs and locks",
    "BROKERLAB_CACHE": "folder of what is fetched or made once: the jars and the class-data archive",
    "BROKERLAB_RUNTIME": "how nodes run: local (Java processes on this machine), containers (Docker's), auto: containers if Docker runs and has the image, else local; or external: nothing is started, and a cluster that exists is used",
    "BROKERLAB_BOOTSTRAP_SERVERS": "external: where the cluster is, as host:port, several with commas between",
    "BROKERLAB_CLIENT_PROPERTIES": "external: file with what a client must say to be let in, as Kafka's own tools read it",
    "BROKERLAB_PREFIX": "external: what the names of your topics, groups and transactions begin with (default: your user name and a hyphen)",
    "BROKERLAB_ZOOKEEPER_CONNECT": "external: where the cluster's ZooKeeper is, if it has one that you may ask",
    "BROKERLAB_IMAGE": f"the image that containers are started from (default {IMAGE})",
    "BROKERLAB_AUTH": "whether a lab asks its clients for a password: on, off, or auto: on where other people can use this machine",
    "BROKERLAB_LINGER": "seconds that a lab outlives its last notebook (default 60)",
    "BROKERLAB_MIRROR": "address of a Maven repository to fetch the jars from instead of Maven Central",
}


@dataclass(frozen=True)
class Settings:
    """What the environment asks for.

    Attributes
    ----------
    home, cache : pathlib.Path
        Absolute folders; they need not exist yet.
    runtime : str
        One of `RUNTIMES`.
    image : str
        Name of a container image with the layout of apache/kafka.
    auth : str
        One of `AUTH`.
    linger : float
        Seconds.
    mirror : str or None
        Base address of a Maven repository, without a trailing slash.
    bootstrap_servers, zookeeper_connect : str
        Where a cluster that exists already is, as ``host:port`` with commas between; empty where nothing is said.
    client_properties : pathlib.Path or None
        How that cluster lets a client in, as Kafka's tools read it.
    prefix : str
        What a learner's names begin with there; empty where nothing is said.
    """

    home: Path
    cache: Path
    runtime: str
    image: str
    auth: str
    linger: float
    mirror: str | None
    bootstrap_servers: str = ""
    zookeeper_connect: str = ""
    client_properties: Path | None = None
    prefix: str = ""


def read(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment.

    Raises
    ------
    SettingError
        A variable has a value that cannot be used; the sentence names it and the values that can.
    """
    env = os.environ if environ is None else environ

    def place(name: str, what: str = "folder") -> Path | None:
        value = env.get(name, "")
        if "\n" in value or "\0" in value:
            raise SettingError(f"{name} holds a line break: set it to the path of one {what}.")
        try:
            return Path(value).expanduser().absolute() if value else None
        except RuntimeError:
            raise SettingError(
                f"{name} is {value!r}, and there is no such user: set it to the path of one {what}."
            ) from None

    return Settings(
        home=place("BROKERLAB_HOME") or platformdirs.user_state_path("brokerlab"),
        cache=place("BROKERLAB_CACHE") or platformdirs.user_cache_path("brokerlab"),
        runtime=check_runtime(env.get("BROKERLAB_RUNTIME") or "auto", "BROKERLAB_RUNTIME"),
        image=_image(env.get("BROKERLAB_IMAGE") or IMAGE),
        auth=_one_of(AUTH, env.get("BROKERLAB_AUTH") or "auto", "BROKERLAB_AUTH"),
        linger=_seconds(env.get("BROKERLAB_LINGER") or "60"),
        mirror=_address(env.get("BROKERLAB_MIRROR") or ""),
        bootstrap_servers=_hosts(env, "BROKERLAB_BOOTSTRAP_SERVERS"),
        zookeeper_connect=_hosts(env, "BROKERLAB_ZOOKEEPER_CONNECT"),
        client_properties=place("BROKERLAB_CLIENT_PROPERTIES", "file"),
        prefix=_prefix(env.get("BROKERLAB_PREFIX") or ""),
    )


def check_runtime(name: object, what: str) -> str:
    """Return the name of a runtime, or say that `what` is none.

    Raises
    ------
    SettingError
        There is no such runtime.
    """
    return _one_of(RUNTIMES, name, what)


def _one_of(known: tuple[str, ...], name: object, what: str) -> str:
    if name not in known:
        raise SettingError(
            f"{what} is {name!r}, which BrokerLab does not know: set it to one of {', '.join(known)}."
        )
    return str(name)


def _image(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*", text):
        raise SettingError(
            f"BROKERLAB_IMAGE is {text!r}, which is not the name of an image: set it to one such as {IMAGE}."
        )
    return text


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 86_400:
        raise SettingError(
            f"BROKERLAB_LINGER is {text!r}: set it to a number of seconds from 0 to 86400."
        )
    return value


def _address(text: str) -> str | None:
    if text and not text.startswith(("http://", "https://")):
        raise SettingError(
            f"BROKERLAB_MIRROR is {text!r}: set it to the http:// or https:// address of a Maven repository."
        )
    return text.rstrip("/") or None


def _hosts(env: Mapping[str, str], name: str) -> str:
    text = env.get(name) or ""
    hosts = [part.strip() for part in text.split(",") if part.strip()]
    for host in hosts:
        if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):\d{1,5}(/\S*)?", host):
            raise SettingError(
                f"{name} is {text!r}, and {host!r} in it is no address: set it to host:port, several with commas between."
            )
    return ",".join(hosts)


def _prefix(text: str) -> str:
    if not text:
        return ""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,98}[._-]", text):
        raise SettingError(
            f"BROKERLAB_PREFIX is {text!r}: set it to at most 100 letters, digits, dots, underscores and hyphens that begin with a letter or digit and end with -, . or _ (anna- is no beginning of another's annabel-, and anna is)."
        )
    return text

"""A cluster that exists, as the environment describes it: where it is, how it lets in, what a learner's names begin with."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brokerlab import clientproperties
from brokerlab.errors import SettingError
from brokerlab.settings import Settings


@dataclass(frozen=True)
class ExistingCluster:
    """A cluster that exists, as the environment describes it.

    Attributes
    ----------
    client : dict
        For a client of `confluent_kafka`.
    user : str
        Who logs in; empty if nobody does.
    prefix : str
        What the learner's names begin with.
    properties_file : pathlib.Path or None
        The file that its login comes from.
    zookeeper_connect : str
        Empty where nobody said.
    remarks : tuple of str
        What a learner should know of the file, a sentence each.
    """

    client: dict[str, Any]
    user: str
    prefix: str
    properties_file: Path | None
    zookeeper_connect: str
    remarks: tuple[str, ...]

    @property
    def servers(self) -> str:
        servers: str = self.client["bootstrap.servers"]
        return servers


def described(asked: Settings) -> ExistingCluster:
    """Return the cluster that the environment describes; it is not asked.

    Raises
    ------
    SettingError
        There is no address, or the properties file cannot be used.
    """
    file = asked.client_properties
    found = clientproperties.read(file) if file else clientproperties.ClientProperties()
    servers = asked.bootstrap_servers or found.settings.get("bootstrap.servers", "")
    if not servers:
        raise SettingError(
            "BROKERLAB_RUNTIME is external, and nothing says where the cluster is: set BROKERLAB_BOOTSTRAP_SERVERS to host:port of one of its brokers, or BROKERLAB_RUNTIME to local for a lab of your own."
        )
    return ExistingCluster(
        {**found.settings, "bootstrap.servers": servers},
        found.user,
        asked.prefix or default_prefix(found.user or _name_of_user()),
        file,
        asked.zookeeper_connect,
        found.remarks,
    )


def default_prefix(user: str) -> str:
    """Return what the names of this user begin with: none of another user begins so.

    Only letters, digits and the hyphen at the end are in it. Where a user name has more, some digits tell it from the
    names that would look the same without.
    """
    kept = re.sub(r"[^A-Za-z0-9]", "", user)[:40]
    if kept != user:
        kept += hashlib.sha256(user.encode()).hexdigest()[:4]
    return f"{kept}-"


def _name_of_user() -> str:
    # On many hubs everybody's system account is called the same.
    if name := os.environ.get("JUPYTERHUB_USER"):
        return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise SettingError(
            "This account has no name to make a prefix of: set BROKERLAB_PREFIX to your name and a hyphen, such as anna-."
        ) from None

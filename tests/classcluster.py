"""A class's cluster: three brokers that ask for a login and let each learner use the names with his own prefix alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import brokerlab
import pytest
from brokerlab.lab import Lab
from brokerlab.progress import Progress
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from homes import fresh_home

WITH_ACLS = {
    "authorizer.class.name": "kafka.security.authorizer.AclAuthorizer",
    "super.users": "User:lab",
}
SECONDS = 20
THEIRS = (ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID)
"""Learners may do everything with what is of these kinds and named with their prefix; docs/classroom.md says the same."""

SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"


@dataclass(frozen=True)
class Learner:
    """Somebody of the class: his name, what his names begin with, his properties file."""

    name: str
    prefix: str
    properties_file: Path


def password_of(name: str) -> str:
    return f"{name} has a secret"


class ClassCluster:
    """The cluster of a class; `folder` is for what the learners are given."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self._folder = folder
        self._admin = AdminClient({**lab.client, "log_level": 0})

    def let_in(self, *names: str, rights: bool = True) -> list[Learner]:
        """Give each a password, and the rights for his prefix."""
        learners = [self.learner(name) for name in names]
        for one in learners:
            info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096)
            wish = UserScramCredentialUpsertion(one.name, info, password_of(one.name).encode())
            for future in self._admin.alter_user_scram_credentials([wish]).values():
                future.result(SECONDS)
        if rights:
            asked = self._admin.create_acls([b for one in learners for b in _bindings(one)])
            for future in asked.values():
                future.result(SECONDS)
        return learners

    def learner(self, name: str) -> Learner:
        """Write the properties file of somebody, who need not be let in."""
        file = self._folder / f"{name}.properties"
        file.touch(mode=0o600)
        login = f'{SCRAM} required username="{name}" password="{password_of(name)}";'
        lines = ["security.protocol=SASL_PLAINTEXT", "sasl.mechanism=SCRAM-SHA-256"]
        file.write_text("\n".join([*lines, f"sasl.jaas.config={login}"]) + "\n", "utf-8")
        return Learner(name, f"{name}-", file)

    def environment(self, learner: Learner, home: Path) -> dict[str, str]:
        """Return the variables with which a learner uses this cluster, beside those of the machine."""
        return external(self.lab.bootstrap_servers, learner.properties_file, home)


def external(servers: str, properties_file: Path, home: Path) -> dict[str, str]:
    """Return the variables with which somebody uses a cluster that exists."""
    return {
        "BROKERLAB_RUNTIME": "external",
        "BROKERLAB_HOME": str(home),
        "BROKERLAB_BOOTSTRAP_SERVERS": servers,
        "BROKERLAB_CLIENT_PROPERTIES": str(properties_file),
    }


def _bindings(learner: Learner) -> Iterator[AclBinding]:
    for kind in THEIRS:
        yield AclBinding(
            kind,
            learner.prefix,
            ResourcePatternType.PREFIXED,
            f"User:{learner.name}",
            "*",
            AclOperation.ALL,
            AclPermissionType.ALLOW,
        )


@contextmanager
def class_cluster(folder: Path, acls: bool = True, brokers: int = 3) -> Iterator[ClassCluster]:
    """Start one, where everybody may do everything unless there are `acls`; stop it at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BROKERLAB_AUTH", "on")
        with fresh_home():
            lab = brokerlab.start(
                brokers=brokers,
                name="class",
                broker_properties=WITH_ACLS if acls else None,
                progress=Progress(),
            )
            yield ClassCluster(lab, folder)
            lab.stop()


@contextmanager
def attached(cluster: ClassCluster, learner: Learner, home: Path, **more: str) -> Iterator[Lab]:
    """Attach to the cluster as this learner would, in this process; `more` are further variables."""
    with pytest.MonkeyPatch.context() as patch:
        set_all(patch, cluster.environment(learner, home) | more)
        yield brokerlab.start(progress=Progress())


def set_all(
    patch: pytest.MonkeyPatch, variables: dict[str, str], leave: Sequence[str] = ()
) -> None:
    """Set these variables, and unset those in `leave`."""
    for name in leave:
        patch.delenv(name, raising=False)
    for name, value in variables.items():
        patch.setenv(name, value)

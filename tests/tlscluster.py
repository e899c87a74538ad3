"""A cluster of somebody else that speaks TLS: one broker, as a cloud or a company runs many."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import trustme
from brokerlab import settings, topology
from brokerlab.background import Background
from brokerlab.distribution.classlist import free_ports
from brokerlab.distribution.installation import installed
from brokerlab.distribution.java import java_environment
from brokerlab.kraft import new_cluster_id
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509 import load_pem_x509_certificate
from witnesses import comes_true

USER, PASSWORD = "anna", "anna has a secret"
START_SECONDS = 60.0
WARNINGS = {
    "log4j.rootLogger": "WARN, stdout",
    "log4j.appender.stdout": "org.apache.log4j.ConsoleAppender",
    "log4j.appender.stdout.layout": "org.apache.log4j.PatternLayout",
    "log4j.appender.stdout.layout.ConversionPattern": "%p %m (%c)%n",
}

PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


@dataclass(frozen=True)
class TLSCluster:
    """A broker with two TLS listeners: one asks for a client's certificate, the other for a password.

    Attributes
    ----------
    by_certificate, by_password : str
        The bootstrap server of each.
    authority, stranger : pathlib.Path
        PEM files: the authority that signed the broker's certificate, and one that did not.
    certificate : pathlib.Path
        A client's key and certificate, as PEM.
    store : pathlib.Path
        The same as PKCS12, closed with `PASSWORD`.
    """

    by_certificate: str
    by_password: str
    authority: Path
    stranger: Path
    certificate: Path
    store: Path


@contextmanager
def tls_cluster(name_of_broker: str = topology.HOST) -> Iterator[TLSCluster]:
    """Start one whose certificate is made out to `name_of_broker`; end it."""
    folder = Path(tempfile.mkdtemp(prefix="tls-"))
    try:
        authority = trustme.CA()
        broker, client = authority.issue_cert(name_of_broker), authority.issue_cert(USER)
        (folder / "broker.pem").write_bytes(_pem(broker))
        (folder / "client.pem").write_bytes(_pem(client))
        authority.cert_pem.write_to_path(folder / "authority.pem")
        trustme.CA().cert_pem.write_to_path(folder / "stranger.pem")
        (folder / "client.p12").write_bytes(_pkcs12(client))
        by_certificate, by_password, controller = free_ports(3)
        properties = _properties(folder, by_certificate, by_password, controller)
        (folder / "server.properties").write_text(topology.render(properties), "utf-8")
        identity = {"version": "1", "cluster.id": new_cluster_id(), "node.id": "1"}
        (folder / "log4j.properties").write_text(topology.render(WARNINGS), "utf-8")
        (folder / "data").mkdir()
        (folder / "data" / "meta.properties").write_text(topology.render(identity), "utf-8")
        cluster = TLSCluster(
            f"{topology.HOST}:{by_certificate}",
            f"{topology.HOST}:{by_password}",
            folder / "authority.pem",
            folder / "stranger.pem",
            folder / "client.pem",
            folder / "client.p12",
        )
        java = installed(settings.read())
        process = Background(
            java.command(
                "kafka.Kafka",
                str(folder / "server.properties"),
                properties={"log4j.configuration": f"file:{folder}/log4j.properties"},
            ),
            name="a broker with TLS",
            env=java_environment(),
        )
        try:
            assert comes_true(lambda: _answers(cluster), START_SECONDS), process.lines[-20:]
            yield cluster
        finally:
            process.kill()
    finally:
        shutil.rmtree(folder)


def _properties(
    folder: Path, by_certificate: int, by_password: int, controller: int
) -> dict[str, str]:
    login = f'{PLAIN} required user_{USER}="{PASSWORD}";'
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{topology.HOST}:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": ",".join(
            f"{name}://{topology.HOST}:{port}"
            for name, port in {
                "SSL": by_certificate,
                "SASL_SSL": by_password,
                "CONTROLLER": controller,
            }.items()
        ),
        "listener.security.protocol.map": "SSL:SSL,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "SSL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "broker.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(folder / "authority.pem"),
        "ssl.endpoint.identification.algorithm": "",
        "listener.name.ssl.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": login,
        "log.dirs": str(folder / "data"),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
    }


def _pem(one: trustme.LeafCert) -> bytes:
    # Java reads keys of this form alone.
    key = _key(one).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return key + b"".join(part.bytes() for part in one.cert_chain_pems)


def _pkcs12(client: trustme.LeafCert) -> bytes:
    certificate = load_pem_x509_certificate(client.cert_chain_pems[0].bytes())
    return pkcs12.serialize_key_and_certificates(
        USER.encode(),
        _key(client),
        certificate,
        None,
        BestAvailableEncryption(PASSWORD.encode()),
    )


def _key(one: trustme.LeafCert) -> EllipticCurvePrivateKey:
    key = load_pem_private_key(one.private_key_pem.bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    return key


def _answers(cluster: TLSCluster) -> bool:
    client = {
        "bootstrap.servers": cluster.by_certificate,
        "security.protocol": "SSL",
        "enable.ssl.certificate.verification": False,
        "ssl.certificate.location": str(cluster.certificate),
        "ssl.key.location": str(cluster.certificate),
        "log_level": 0,
    }
    with suppress(KafkaException):
        return bool(AdminClient(client).list_topics(timeout=2).brokers)
    return False

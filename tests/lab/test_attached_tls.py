"""A cluster of somebody else that speaks TLS: who has its papers gets in, and who lacks one is told which."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import brokerlab
import pytest
import trustme
from brokerlab import topology
from brokerlab.errors import NotLetInError
from brokerlab.lab import Lab
from brokerlab.progress import Progress
from classcluster import external, set_all
from tlscluster import PASSWORD, PLAIN, USER, TLSCluster, tls_cluster
from witnesses import create_topic, produce, read_all

pytestmark = pytest.mark.cluster

TOLD_SECONDS = 10.0
SCRIPTS = Path(sys.executable).parent

Papers = Callable[[TLSCluster], tuple[str, dict[str, str]]]
"""Returns the bootstrap server and the lines of a properties file."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[TLSCluster]:
    with tls_cluster() as started:
        yield started


def trusting(cluster: TLSCluster) -> dict[str, str]:
    return {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(cluster.authority)}


def certificate(cluster: TLSCluster) -> tuple[str, dict[str, str]]:
    mine = {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(cluster.certificate)}
    return cluster.by_certificate, {"security.protocol": "SSL", **trusting(cluster), **mine}


def store(cluster: TLSCluster) -> tuple[str, dict[str, str]]:
    mine = {
        "ssl.keystore.type": "PKCS12",
        "ssl.keystore.location": str(cluster.store),
        "ssl.keystore.password": PASSWORD,
    }
    return cluster.by_certificate, {"security.protocol": "SSL", **trusting(cluster), **mine}


def password(cluster: TLSCluster, word: str = PASSWORD) -> tuple[str, dict[str, str]]:
    login = f'{PLAIN} required username="{USER}" password="{word}";'
    mine = {"sasl.mechanism": "PLAIN", "sasl.jaas.config": login}
    return cluster.by_password, {"security.protocol": "SASL_SSL", **trusting(cluster), **mine}


@contextmanager
def attached(server: str, lines: dict[str, str], home: Path) -> Iterator[Lab]:
    file = home / "client.properties"
    file.touch(mode=0o600)
    file.write_text("".join(f"{name}={value}\n" for name, value in lines.items()), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        set_all(patch, external(server, file, home))
        yield brokerlab.start(brokers=1, progress=Progress())


@pytest.mark.parametrize("papers", [certificate, store, password])
def test_who_has_the_papers_writes_and_reads(
    cluster: TLSCluster, papers: Papers, tmp_path: Path
) -> None:
    with attached(*papers(cluster), tmp_path) as lab:
        topic = lab.topic(papers.__name__)
        create_topic(lab.client, topic, [[1]])
        produce(lab.client, topic, ["over", "TLS"], acks="all")
        assert [value for _, value in read_all(lab.client, topic)] == [b"over", b"TLS"]
        assert topic in lab.topics()
        tool = [SCRIPTS / "kafka-topics.sh", "--list", "--bootstrap-server", lab.bootstrap_servers]
        listed = subprocess.run(tool, capture_output=True, text=True, timeout=60)
        assert topic in listed.stdout.split(), listed.stderr
        lab.delete_topics(papers.__name__)


def no_authority(cluster: TLSCluster) -> tuple[str, dict[str, str]]:
    server, lines = password(cluster)
    return server, lines | trusting(replace(cluster, authority=cluster.stranger))


def no_certificate(cluster: TLSCluster) -> tuple[str, dict[str, str]]:
    return cluster.by_certificate, {"security.protocol": "SSL", **trusting(cluster)}


def wrong_store_password(cluster: TLSCluster) -> tuple[str, dict[str, str]]:
    server, lines = store(cluster)
    return server, lines | {"ssl.keystore.password": "no"}


def wrong_password(cluster: TLSCluster) -> tuple[str, dict[str, str]]:
    return password(cluster, "no")


def no_tls(cluster: TLSCluster) -> tuple[str, dict[str, str]]:
    server, lines = password(cluster)
    return server, lines | {"security.protocol": "SASL_PLAINTEXT"}


@pytest.mark.parametrize(
    ("papers", "said"),
    [
        (no_authority, "not one that this client trusts: name its authority in"),
        (no_certificate, "wants a certificate of its clients"),
        (wrong_store_password, "ssl.keystore.password"),
        (wrong_password, f"does not let '{USER}' in: check user name and password"),
        (no_tls, "hangs up on a client of security.protocol=SASL_PLAINTEXT"),
    ],
)
def test_who_lacks_one_is_told_which(
    cluster: TLSCluster, papers: Papers, said: str, tmp_path: Path
) -> None:
    begun = time.monotonic()
    with pytest.raises(NotLetInError) as told, attached(*papers(cluster), tmp_path):
        pass
    assert time.monotonic() - begun <= TOLD_SECONDS
    sentence = str(told.value)
    assert said in sentence and "client.properties" in sentence, sentence
    assert "\n" not in sentence and PASSWORD not in sentence


def test_a_certificate_that_is_made_out_to_somebody_else(tmp_path: Path) -> None:
    with tls_cluster("10.0.0.7") as cluster:
        server, lines = password(cluster)
        with pytest.raises(NotLetInError) as told, attached(server, lines, tmp_path):
            pass
        assert "is not made out to" in str(told.value)
        # What its owner says of such a cluster, where he knows why.
        lines |= {"ssl.endpoint.identification.algorithm": ""}
        with attached(server, lines, tmp_path) as lab:
            assert lab.topics() == set()


def test_a_certificate_of_yesterday(tmp_path: Path) -> None:
    """A broker does not start with such a certificate, but its day may come while it runs."""
    authority, yesterday = trustme.CA(), datetime.now(UTC) - timedelta(days=1)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(topology.HOST, not_after=yesterday).configure_cert(context)
    with socket.create_server((topology.HOST, 0)) as listening:
        threading.Thread(target=_shake_hands, args=(listening, context), daemon=True).start()
        lines = {
            "security.protocol": "SSL",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(tmp_path / "authority.pem"),
        }
        server = f"{topology.HOST}:{listening.getsockname()[1]}"
        with pytest.raises(NotLetInError) as told, attached(server, lines, tmp_path):
            pass
    assert "does not hold today (certificate has expired)" in str(told.value)


def _shake_hands(listening: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            one, _ = listening.accept()
        except OSError:
            return
        with suppress(OSError):
            context.wrap_socket(one, server_side=True).close()
        one.close()

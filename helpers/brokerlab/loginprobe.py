"""Whether a cluster that exists lets a client in; if not, why, in a sentence and within seconds."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from brokerlab.errors import NotLetInError

REACH_SECONDS = 1.5
"""For each address, of which five are tried at most."""

ANSWER_SECONDS = 6.0
ASK_SECONDS = 0.5
ADDRESSES_TRIED = 5

_SILENT = logging.getLogger("brokerlab.clients")


def demand_entry(client: Mapping[str, Any], file: str) -> AdminClient:
    """Return an admin client that the cluster has answered.

    Parameters
    ----------
    client : mapping
        A client's settings.
    file : str
        Where its login comes from, to be named in a sentence; empty if it has none.

    Raises
    ------
    NotLetInError
        The cluster is not there, or does not take this client.
    """
    servers = client["bootstrap.servers"]
    _demand_reachable(servers)
    heard: list[KafkaError] = []
    settings: dict[str, Any] = {**client, "log_level": 0, "error_cb": heard.append}
    asking = _client(settings, file)
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        with suppress(KafkaException):
            asking.list_topics(timeout=ASK_SECONDS)
            return asking
        asking.poll(0)
        _demand_welcome(heard, client, file)
    protocol = client.get("security.protocol", "PLAINTEXT")
    raise NotLetInError(
        f"Somebody listens at {servers}, and hangs up on a client of security.protocol={protocol}: ask what this cluster wants (a login, TLS or neither), and say it in {file or 'a file that BROKERLAB_CLIENT_PROPERTIES names'}."
    )


def may_create(asking: AdminClient, topic: str) -> bool:
    """Whether this client may create a topic of this name; nothing is created."""
    wanted = [NewTopic(topic, 1, 1)]
    answer = asking.create_topics(
        wanted, validate_only=True, operation_timeout=5, request_timeout=5
    )
    try:
        answer[topic].result(6)
    except KafkaException as error:
        return error.args[0].code() not in (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        )
    return True


def _demand_reachable(servers: str) -> None:
    said = {}
    for address, host, port in _addresses(servers):
        try:
            _reached(host, port).close()
        except (OSError, OverflowError) as error:
            said[address] = _reason(error)
        else:
            return
    found = "; ".join(f"{address}: {why}" for address, why in said.items())
    raise NotLetInError(
        f"No cluster answers ({found}): check BROKERLAB_BOOTSTRAP_SERVERS, and whether the cluster runs."
    )


def _addresses(servers: str) -> Iterator[tuple[str, str, int]]:
    """Yield the first few addresses of a list, each with its host and port."""
    for server in servers.split(",")[:ADDRESSES_TRIED]:
        address = server.partition("/")[0]
        host, _, port = address.rpartition(":")
        yield address, host.strip("[]"), int(port)


def _reached(host: str, port: int) -> socket.socket:
    return socket.create_connection((host, port), timeout=REACH_SECONDS)


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "no such host"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, TimeoutError):
        return f"nothing within {REACH_SECONDS:g} s"
    return getattr(error, "strerror", None) or str(error)


def _client(settings: dict[str, Any], file: str) -> AdminClient:
    try:
        return AdminClient(settings, logger=_SILENT)
    except KafkaException as error:
        reason = error.args[0].str().removeprefix("Failed to create admin client: ")
        raise NotLetInError(
            f"The client cannot use what {_named(file)} says ({reason}): check the files that are named there, and ssl.keystore.password or ssl.key.password."
        ) from None


def _named(file: str) -> str:
    return file or "a file that BROKERLAB_CLIENT_PROPERTIES names"


def _demand_welcome(heard: Iterable[KafkaError], client: Mapping[str, Any], file: str) -> None:
    servers, where = client["bootstrap.servers"], _named(file)
    for error in heard:
        text = error.str()
        if error.code() == KafkaError._AUTHENTICATION:
            if "unsupported" in text.lower():
                raise NotLetInError(
                    f"The cluster at {servers} does not take sasl.mechanism={client.get('sasl.mechanism')}: ask which it takes, and change it in {where}."
                )
            raise NotLetInError(
                f"The cluster at {servers} does not let {client.get('sasl.username', '')!r} in: check user name and password in {where}."
            )
        if error.code() == KafkaError._SSL:
            if "certificate verify failed" in text:
                raise NotLetInError(_distrusted(client, where))
            raise NotLetInError(
                f"{servers} does not speak TLS as security.protocol={client.get('security.protocol')} asks for: take the cluster's TLS port, or a protocol without SSL in {where}."
            )
        if "SSL alert" in text and "certificate" in text:
            raise NotLetInError(
                f"The cluster at {servers} wants a certificate of its clients, and has none from you that it takes: name yours in {where}, as ssl.keystore.location with ssl.keystore.type=PEM or PKCS12."
            )


def _distrusted(client: Mapping[str, Any], where: str) -> str:
    """Say why a certificate is not trusted: Kafka's client does not, Python's own TLS does."""
    servers = client["bootstrap.servers"]
    for address, host, port in _addresses(servers):
        try:
            context = ssl.create_default_context(cafile=client.get("ssl.ca.location"))
            with _reached(host, port) as reached:
                context.wrap_socket(reached, server_hostname=host).close()
        except ssl.SSLCertVerificationError as why:
            if "mismatch" in why.verify_message:
                return f"The certificate of {address} is not made out to {host}: put the address that it is made out to in BROKERLAB_BOOTSTRAP_SERVERS, or ask who runs the cluster."
            if "expired" in why.verify_message or "not yet" in why.verify_message:
                return f"The certificate of {address} does not hold today ({why.verify_message}): check this machine's clock, and ask who runs the cluster."
        except OSError:
            continue
    return f"The certificate of {servers} is not one that this client trusts: name its authority in {where}, as ssl.truststore.location with ssl.truststore.type=PEM."

"""A properties file of Kafka's own tools, translated for the client that Python uses."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brokerlab.access import PASSWORD, Secret
from brokerlab.errors import SettingError

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_SECRETS = (PASSWORD, "ssl.key.password", "ssl.keystore.password")

_SAME = {
    "bootstrap.servers",
    "security.protocol",
    "ssl.key.password",
    "client.id",
    "client.dns.lookup",
    "connections.max.idle.ms",
    "metadata.max.age.ms",
    "reconnect.backoff.ms",
    "reconnect.backoff.max.ms",
    "retry.backoff.ms",
}
"""Settings of every client that have the same name and meaning in both."""

_TYPES = {"ssl.truststore.type", "ssl.keystore.type", "ssl.truststore.password"}
"""Read beside another setting, or of no use where a store is PEM."""


@dataclass(frozen=True)
class ClientProperties:
    """What a properties file says.

    Attributes
    ----------
    settings : dict
        For a client of `confluent_kafka`.
    user : str
        Who logs in; empty if nobody does.
    remarks : tuple of str
        What a learner should know of the file, a sentence each.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    user: str = ""
    remarks: tuple[str, ...] = ()


def read(file: Path) -> ClientProperties:
    """Read the file that Kafka's tools take as ``--command-config``.

    Raises
    ------
    SettingError
        It cannot be read, or holds what cannot be translated; the sentence names each such property.
    """
    given = dict(_pairs(_text(file)))
    settings: dict[str, Any] = {}
    refused: list[str] = []
    left_out: list[str] = []
    for name, value in given.items():
        if name in _SAME:
            settings[name] = value.strip()
        elif name in _TYPES:
            continue
        elif translate := _TRANSLATIONS.get(name):
            try:
                settings |= translate(value.strip(), given)
            except _Untranslatable as why:
                refused.append(f"{name} ({why})")
        elif name.startswith(("sasl.", "ssl.", "security.")):
            refused.append(f"{name} (its client has nothing like it)")
        else:
            left_out.append(name)
    if refused:
        raise SettingError(
            f"{file} holds what Python's client cannot take over: {', '.join(refused)}. Change that for a client of your own, or ask who runs the cluster."
        )
    for name in _SECRETS:
        if name in settings:
            settings[name] = Secret(settings[name])
    user = settings.get("sasl.username", "")
    return ClientProperties(settings, user, tuple(_remarks(file, settings, left_out)))


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        what = "there is no such file"
    except UnicodeDecodeError:
        what = "it is no text"
    except OSError as error:
        what = error.strerror or str(error)
    raise SettingError(
        f"BROKERLAB_CLIENT_PROPERTIES names {file}, which cannot be read ({what}): give the path of the file that `kafka-topics.sh --command-config` takes, or unset it."
    )


def _remarks(file: Path, settings: dict[str, Any], left_out: list[str]) -> Iterator[str]:
    with_password = any(name in settings for name in _SECRETS)
    if with_password and file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        yield f"Others can read the password in {file}: run chmod 600 on it."
    if left_out:
        yield f"Of {file}, {', '.join(left_out)} is left out for Python: a client sets that for itself."


_PAIR = re.compile(r"((?:[^\\=:\s]|\\.)*)\s*[=:]?\s*(.*)", re.S)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Yield names and values, as Java's Properties reads them."""
    lines = iter(text.splitlines())
    for line in lines:
        logical = line.lstrip()
        if not logical or logical[0] in "#!":
            continue
        while _goes_on(logical):
            logical = logical[:-1] + next(lines, "").lstrip()
        found = _PAIR.fullmatch(logical)
        if found:
            yield _unescaped(found[1]), _unescaped(found[2])


def _goes_on(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _unescaped(text: str) -> str:
    def plain(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 16))
        return {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}.get(found[2], found[2])

    return re.sub(r"\\(?:u([0-9A-Fa-f]{4})|(.))", plain, text)


class _Untranslatable(Exception):
    """Why a property has no counterpart."""


def _mechanism(value: str, given: dict[str, str]) -> dict[str, str]:
    if value not in MECHANISMS:
        raise _Untranslatable(f"{value}; {', '.join(MECHANISMS)} can be had")
    return {"sasl.mechanism": value}


def _jaas(value: str, given: dict[str, str]) -> dict[str, str]:
    module, _, rest = value.strip().partition(" ")
    if not module.endswith((".PlainLoginModule", ".ScramLoginModule")):
        raise _Untranslatable("only PlainLoginModule and ScramLoginModule log in by a password")
    options = {
        name: _unescaped(text)
        for name, _, text in re.findall(r"(\w+)\s*=\s*([\"'])((?:\\.|(?!\2).)*)\2", rest)
    }
    if not {"username", "password"} <= options.keys():
        raise _Untranslatable('it needs username="…" and password="…"')
    return {"sasl.username": options["username"], PASSWORD: options["password"]}


def _truststore(value: str, given: dict[str, str]) -> dict[str, str]:
    kind = given.get("ssl.truststore.type", "JKS")
    if kind.upper() != "PEM":
        raise _Untranslatable(
            f"a store of type {kind}: write its certificates to a PEM file with keytool -list -rfc, and say ssl.truststore.type=PEM"
        )
    return {"ssl.ca.location": _file(value)}


def _keystore(value: str, given: dict[str, str]) -> dict[str, str]:
    kind = given.get("ssl.keystore.type", "JKS")
    if kind.upper() == "PEM":
        return {"ssl.certificate.location": _file(value), "ssl.key.location": _file(value)}
    if kind.upper() == "PKCS12":
        return {"ssl.keystore.location": _file(value)}
    raise _Untranslatable(f"a store of type {kind}; PEM and PKCS12 can be had")


def _keystore_password(value: str, given: dict[str, str]) -> dict[str, str]:
    return {"ssl.keystore.password": value}


def _name_check(value: str, given: dict[str, str]) -> dict[str, str]:
    return {"ssl.endpoint.identification.algorithm": value or "none"}


def _file(path: str) -> str:
    # A program that is started elsewhere reads it too.
    file = str(Path(path).absolute())
    if not os.access(file, os.R_OK):
        raise _Untranslatable(f"{path} cannot be read")
    return file


_TRANSLATIONS: dict[str, Callable[[str, dict[str, str]], dict[str, str]]] = {
    "sasl.mechanism": _mechanism,
    "sasl.jaas.config": _jaas,
    "ssl.truststore.location": _truststore,
    "ssl.keystore.location": _keystore,
    "ssl.keystore.password": _keystore_password,
    "ssl.endpoint.identification.algorithm": _name_check,
}

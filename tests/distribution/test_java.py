"""The command line and the environment of a JVM."""

from __future__ import annotations

from pathlib import Path

import pytest
from brokerlab.distribution import Distribution, java_environment

JARS = (Path("/cache/first.jar"), Path("/cache/second.jar"))


def distribution(archive: Path | None = None) -> Distribution:
    return Distribution("3.9.2", Path("/jre/bin/java"), JARS, archive)


def test_program_flags_properties_class_and_arguments_in_javas_order() -> None:
    command = distribution().command(
        "kafka.Kafka", "server.properties", heap="128m", properties={"java.io.tmpdir": "/a b"}
    )
    assert command[0] == "/jre/bin/java"
    class_path = "/cache/first.jar:/cache/second.jar"
    assert command[-4:] == ["-cp", class_path, "kafka.Kafka", "server.properties"]
    assert {"-Xmx128m", "-Xms64m", "-Djava.io.tmpdir=/a b"} <= set(command[1:-4])


def test_the_archive_is_named_only_where_there_is_one() -> None:
    with_archive = distribution(Path("/cache/a.jsa")).command("kafka.Kafka")
    assert "-XX:SharedArchiveFile=/cache/a.jsa" in with_archive
    assert not any("Archive" in flag for flag in distribution().command("kafka.Kafka"))


def test_the_environment_loses_what_would_change_a_jvm(monkeypatch: pytest.MonkeyPatch) -> None:
    unwanted = ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH")
    for name in (*unwanted, "KAFKA_OPTS", "KAFKA_HEAP_OPTS"):
        monkeypatch.setenv(name, "-Xmx1m")
    monkeypatch.setenv("BROKERLAB_TEST", "kept")
    environment = java_environment()
    assert environment["BROKERLAB_TEST"] == "kept"
    assert "-Xmx1m" not in environment.values()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, {"LC_CTYPE": "C.UTF-8"}),
        ({"LANG": "C"}, {"LANG": "C", "LC_CTYPE": "C.UTF-8"}),
        ({"LANG": "el_GR.UTF-8"}, {"LANG": "el_GR.UTF-8"}),
        ({"LANG": "de_DE.utf8", "LC_ALL": "POSIX"}, {"LANG": "de_DE.utf8", "LC_ALL": "C.UTF-8"}),
        ({"LC_CTYPE": "UTF-8"}, {"LC_CTYPE": "UTF-8"}),
    ],
)
def test_java_reads_paths_in_utf_8(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], wanted: dict[str, str]
) -> None:
    names = ("LC_ALL", "LC_CTYPE", "LANG")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert {n: v for n, v in java_environment().items() if n in names} == wanted

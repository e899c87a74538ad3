"""What the lab is measured beside: Kafka's flags, not ours."""

import re
from pathlib import Path

import peers
import pytest
from brokerlab.distribution.java import ARCHIVE_FLAGS, Distribution
from kafka_folder import make_kafka_folder
from peers import LOCK, locked


def test_the_start_scripts_have_default_flags_and_none_of_ours(tmp_path):
    jar = tmp_path / "kafka.jar"
    jar.touch()
    given = Distribution("3.9.2", Path("/opt/java"), (jar,), tmp_path / "archive.jsa")
    make_kafka_folder(tmp_path / "kafka", given)
    broker = (tmp_path / "kafka/bin/kafka-server-start.sh").read_text()
    zookeeper = (tmp_path / "kafka/bin/zookeeper-server-start.sh").read_text()
    assert "-Xmx1G -Xms1G" in broker
    assert "-Xmx512M -Xms512M" in zookeeper
    for script in (broker, zookeeper):
        assert "-XX:+UseG1GC" in script
        assert not [flag for flag in (*ARCHIVE_FLAGS, "SharedArchiveFile") if flag in script]
    assert (tmp_path / "kafka/libs/kafka.jar").resolve() == jar


@pytest.mark.cluster
def test_the_lab_without_archive_has_default_flags_too():
    with peers.lab("--plain") as side:
        side.wait_until_ready()
        side.ask("start")
        lines = [process.cmdline() for process in side.jvms()]
        side.ask("stop")
    assert sorted(heap for line in lines for heap in line if heap.startswith("-Xmx")) == [
        *(["-Xmx1G"] * 3),
        "-Xmx512M",
    ]
    for line in lines:
        assert "-XX:+UseG1GC" in line
        assert not [
            word for word in line for flag in (*ARCHIVE_FLAGS, "SharedArchiveFile") if flag in word
        ]


def test_every_package_of_the_peers_is_locked_by_hash():
    names = re.findall(r"^([a-z0-9-]+)==", LOCK.read_text(), re.MULTILINE)
    assert {"trivup", "setuptools", "celery", "redis"} <= set(names)
    for name in names:
        lines = locked(name).strip().split("\n")
        assert lines[0].startswith(f"{name}==")
        assert any("--hash=sha256:" in line for line in lines[1:])
        assert not [
            line for line in lines[1:] if line.startswith(tuple("abcdefghijklmnopqrstuvwxyz"))
        ]

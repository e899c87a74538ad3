"""Why a node is no more, as the sentence gives it."""

from __future__ import annotations

import pytest
from brokerlab.lastwords import LINES, last_error, why_it_died

KAFKA = """\
[2026-01-05 10:00:00,001] INFO starting (kafka.server.KafkaServer)
[2026-01-05 10:00:00,002] ERROR an earlier trouble (kafka.server.KafkaServer)
[2026-01-05 10:00:00,003] ERROR Exiting Kafka due to fatal exception (kafka.Kafka$)
org.example.ConfigException: Invalid value many for configuration num.io.threads: Not a number.
\tat kafka.Kafka$.main(Kafka.scala:1)
[2026-01-05 10:00:00,004] INFO shutting down (kafka.server.KafkaServer)
"""
ZOOKEEPER = """\
[2026-01-05 10:00:00,001] ERROR Invalid config, exiting abnormally (org.example.Main)
org.example.ConfigException: Error processing zookeeper.properties
\tat org.example.Main.main(Main.java:1)
Caused by: org.example.Middle: somewhere
\t... 1 more
Caused by: java.lang.NumberFormatException: For input string: "abc"
\t... 2 more
Invalid config, exiting abnormally
[2026-01-05 10:00:00,002] INFO audit is disabled (org.example.Audit)
[2026-01-05 10:00:00,003] ERROR Exiting JVM with code 2 (org.apache.zookeeper.util.ServiceUtils)
"""


@pytest.mark.parametrize(
    "text, sentence",
    [
        (
            KAFKA,
            "org.example.ConfigException: Invalid value many for configuration num.io.threads: Not a number",
        ),
        (
            ZOOKEEPER,
            'org.example.ConfigException: Error processing zookeeper.properties, caused by: java.lang.NumberFormatException: For input string: "abc"',
        ),
        ("[t] FATAL no exception here. (a.B)\n[t] INFO more (a.B)\n", "no exception here. (a.B)"),
        (
            "Error: Could not find or load main class kafka.Kafka\n\n",
            "Error: Could not find or load main class kafka.Kafka",
        ),
        ("", "it left no log"),
        ("\n \n", "it left no log"),
    ],
)
def test_the_last_error_is_one_line(text: str, sentence: str) -> None:
    assert last_error(text) == sentence


FULL = """\
[2026-01-05 10:00:00,001] ERROR Error while appending records to photos-0 (org.example.Log)
java.io.IOException: No space left on device
\tat org.example.Log.append(Log.java:1)
[2026-01-05 10:00:00,002] ERROR Shutdown broker because all log dirs have failed (org.example.LogManager)
"""


@pytest.mark.parametrize(
    "text, exit_code, words",
    [
        (FULL, 1, "its disk is full"),
        ("java.lang.OutOfMemoryError: Java heap space\n", 3, "its Java heap was too small"),
        (KAFKA, -9, "killed from outside"),
        (KAFKA, 143, "asked to end from outside, by SIGTERM"),
        (KAFKA, 1, "Invalid value many"),
        (KAFKA, None, "Invalid value many"),
        (FULL + "[t] INFO a line of a later life (a.B)\n" * LINES, -9, "killed from outside"),
    ],
)
def test_why_it_died(text: str, exit_code: int | None, words: str) -> None:
    assert words in why_it_died(text, exit_code)

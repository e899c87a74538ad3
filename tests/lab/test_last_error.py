"""The last error of a node's log, as the sentence gives it."""

from __future__ import annotations

import pytest
from brokerlab.supervisor import last_error

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

"""Kafka's jars, the Java runtime and the class-data archive: fetched, verified, ready to run."""

from brokerlab.distribution.installation import (
    installed,
    lacks_extras,
    prefetch,
    prefetch_2018,
    prefetch_all,
    prefetch_connect,
    write_bundle,
)
from brokerlab.distribution.jars import KAFKA_VERSION, all_locked
from brokerlab.distribution.java import FLAGS, JAVA, Distribution, java_environment

__all__ = [
    "FLAGS",
    "JAVA",
    "KAFKA_VERSION",
    "Distribution",
    "all_locked",
    "installed",
    "java_environment",
    "lacks_extras",
    "prefetch",
    "prefetch_2018",
    "prefetch_all",
    "prefetch_connect",
    "write_bundle",
]

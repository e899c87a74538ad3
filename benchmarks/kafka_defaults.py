"""The flags that Kafka's own start scripts give a JVM when nobody asks for others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

HEAPS = {
    "zookeeper": ("-Xmx512M", "-Xms512M"),
    "broker": ("-Xmx1G", "-Xms1G"),
    "tool": ("-Xmx256M",),
}

PERFORMANCE = (
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
)

MANAGEMENT = (
    "-Dcom.sun.management.jmxremote",
    "-Dcom.sun.management.jmxremote.authenticate=false",
    "-Dcom.sun.management.jmxremote.ssl=false",
)


def garbage_collection_log(file: str) -> str:
    """Return the flag that logs every collection to `file`, as ``-loggc`` does."""
    return f"-Xlog:gc*:file={file}:time,tags:filecount=10,filesize=100M"


def node_command(
    java: Path,
    jars: str,
    role: str,
    main_class: str,
    *args: str,
    collections: str,
    properties: Mapping[str, str],
) -> list[str]:
    """Return the command line of ZooKeeper or a broker.

    Parameters
    ----------
    jars : str
        The class path.
    role : str
        ``zookeeper`` or ``broker``.
    collections : str
        The file of the garbage collection log.
    properties : mapping of str to str
        System properties, such as ``log4j.configuration``.
    """
    return [
        str(java),
        *HEAPS[role],
        *PERFORMANCE,
        garbage_collection_log(collections),
        *MANAGEMENT,
        *_system_properties(properties),
        "-cp",
        jars,
        main_class,
        *args,
    ]


def tool_command(
    java: Path, jars: str, main_class: str, *args: str, properties: Mapping[str, str]
) -> list[str]:
    """Return the command line of a console tool."""
    return [
        str(java),
        *HEAPS["tool"],
        *PERFORMANCE,
        *_system_properties(properties),
        "-cp",
        jars,
        main_class,
        *args,
    ]


def _system_properties(properties: Mapping[str, str]) -> list[str]:
    return [f"-D{name}={value}" for name, value in properties.items()]

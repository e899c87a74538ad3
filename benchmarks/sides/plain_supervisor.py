"""BrokerLab's own supervisor, whose nodes get Kafka's default flags and no class-data archive."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

import kafka_defaults
from brokerlab import distribution
from brokerlab.distribution.java import Distribution, class_path
from brokerlab.settings import Settings
from brokerlab.supervisor.__main__ import main
from brokerlab.tools import MAIN_CLASSES


class PlainDistribution(Distribution):
    """The same jars, launched as Kafka's scripts would."""

    def command(
        self,
        main_class: str,
        *args: str,
        heap: str = "",
        initial_heap: str = "",
        properties: Mapping[str, str] | None = None,
    ) -> list[str]:
        role = next(role for role in kafka_defaults.HEAPS if MAIN_CLASSES.get(role) == main_class)
        return kafka_defaults.node_command(
            self.java,
            class_path(self.jars),
            role,
            main_class,
            *args,
            collections="gc.log",
            properties=properties or {},
        )


_installed = distribution.installed


def installed(settings: Settings, verify: bool = False) -> Distribution:
    found = _installed(settings, verify=verify)
    return PlainDistribution(found.version, found.java, found.jars, archive=None)


if __name__ == "__main__":
    distribution.installed = installed
    sys.exit(main(sys.argv[1:]))

"""A lab's settings beside production's, each with its reason, as a table."""

from __future__ import annotations

import html
from collections.abc import Iterator

from brokerlab import kraft, topology
from brokerlab.topology import Setting


class Settings:
    """The lab's settings beside production's, as a table."""

    def __init__(self, brokers: int, mode: str = "zookeeper") -> None:
        with_zookeeper, with_controllers = mode != "kraft", mode != "zookeeper"
        self.zookeeper = topology.ZOOKEEPER_SETTINGS if with_zookeeper else ()
        self.controller = kraft.controller_settings(brokers) if with_controllers else ()
        of_broker = topology.broker_settings if with_zookeeper else kraft.kraft_broker_settings
        self.broker = of_broker(brokers)

    def _files(self) -> Iterator[tuple[str, tuple[Setting, ...]]]:
        for role in topology.PROPERTIES_FILES:
            if settings := getattr(self, role):
                yield topology.PROPERTIES_FILES[role], settings

    def __repr__(self) -> str:
        lines = []
        for file, settings in self._files():
            lines.append(f"{file}: lab | production | why")
            lines += [f"  {s.key}: {s.lab} | {s.production} | {s.reason}" for s in settings]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        left = "style='text-align:left'"
        tables = []
        for file, settings in self._files():
            rows = "".join(
                f"<tr><td {left}><code>{s.key}</code></td><td>{html.escape(s.lab)}</td>"
                f"<td>{html.escape(s.production)}</td><td {left}>{html.escape(s.reason)}</td></tr>"
                for s in settings
            )
            heads = f"<th {left}>{file}</th><th>lab</th><th>production</th><th {left}>why</th>"
            tables.append(f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>")
        return "".join(tables)

"""What a start asks for, and whether a lab that runs already is that."""

from __future__ import annotations

from dataclasses import dataclass, field

from brokerlab.errors import SettingError
from brokerlab.supervisor.cluster import Cluster
from brokerlab.topology import brokers_in_words


@dataclass(frozen=True)
class Wanted:
    """What was asked for; None for what a lab that runs may have as it likes.

    Attributes
    ----------
    brokers : int or None
    overrides : dict of str to dict
        Properties by role.
    runtime : str or None
        One of `settings.RUNTIMES`.
    auth : str
        One of `settings.AUTH`.
    mode : str or None
        One of `kraft.MODES`.
    controllers : int
        How many, where the mode is ``kraft``.
    """

    brokers: int | None = None
    overrides: dict[str, dict[str, str]] = field(default_factory=dict)
    runtime: str | None = None
    auth: str = "auto"
    mode: str | None = None
    controllers: int = 1

    def check_fits(self, cluster: Cluster) -> None:
        """Make sure that this running cluster is what is wanted.

        Raises
        ------
        SettingError
            It is not; the sentence says in what, and how to have it otherwise.
        """
        lab = cluster.folder.name
        has = "on" if cluster.closed else "off"
        if self.auth not in ("auto", has):
            raise SettingError(
                f"The lab {lab!r} already runs with BROKERLAB_AUTH={has} and {self.auth} was asked for: stop it (`brokerlab stop`), then start again."
            )
        if self.runtime not in (None, "auto", cluster.runtime.name):
            raise SettingError(
                f"The lab {lab!r} already runs with runtime {cluster.runtime.name!r} and {self.runtime!r} was asked for: stop it (`brokerlab stop`), then start again."
            )
        have = len(cluster.of_role("broker"))
        if self.brokers is not None and self.brokers > have:
            raise SettingError(
                f"The lab {lab!r} already runs with {brokers_in_words(have)} and {self.brokers} were asked for: "
                "take it with brokerlab.attach() and call lab.add_broker(), or stop it (`brokerlab stop`) and start again."
            )
        for role, asked in self.overrides.items():
            if any(cluster.overrides[role].get(key) != value for key, value in asked.items()):
                raise SettingError(
                    f"The lab {lab!r} already runs with other {role} properties: stop it (`brokerlab stop`), then start again."
                )
        if self.mode not in (None, cluster.mode):
            raise SettingError(
                f"The lab {lab!r} already runs in mode {cluster.mode!r} and {self.mode!r} was asked for: stop it (`brokerlab stop`), or start another with name='other'."
            )

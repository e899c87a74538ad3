"""The errors a user can meet: one clear sentence each, which says what to do next.

A traceback is for a bug in BrokerLab; everything a user can cause or meet is a `BrokerLabError`, and in
a notebook it shows as its sentence alone.
"""

from __future__ import annotations


class BrokerLabError(Exception):
    """What went wrong and what to do next, in one sentence."""

    def _render_traceback_(self) -> list[str]:
        """Show the sentence instead of a traceback (IPython calls this)."""
        return [f"{type(self).__name__}: {self}"]


class SettingError(BrokerLabError):
    """An environment variable or an argument has a value that BrokerLab cannot use."""


class DownloadError(BrokerLabError):
    """A jar could not be fetched, or what arrived is not what was locked."""


class NotFetchedError(BrokerLabError):
    """The jars or the class-data archive are not in the cache yet."""


class DockerError(BrokerLabError):
    """Docker cannot run the lab's containers."""


class ImageNotFetchedError(DockerError):
    """The image that containers are started from is not on this machine yet."""


class ResourceError(BrokerLabError):
    """The machine has too little memory or disk, or a folder that cannot be written."""


class PortTakenError(BrokerLabError):
    """Another program listens where a node of the lab must."""


class NoLabError(BrokerLabError):
    """There is no running lab to talk to."""


class NodeFailedError(BrokerLabError):
    """A node died, or did not become usable in time."""


class LabBusyError(BrokerLabError):
    """The lab is being started or stopped by somebody else right now."""


class NotPossibleError(BrokerLabError):
    """The cluster that was attached to is not the learner's own, and this is its owner's to do."""


class NotLetInError(BrokerLabError):
    """A cluster that exists does not answer this client, or it or Kafka Connect does not let it in."""

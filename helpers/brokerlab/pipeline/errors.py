"""What can go wrong around the ML queue: one sentence each, and what to do next."""

from __future__ import annotations

from brokerlab.errors import BrokerLabError


class PipelineError(BrokerLabError):
    """A part of the ML queue cannot do its work."""


class UnreachableError(PipelineError):
    """No broker answers, or not in time."""


class TopicError(PipelineError):
    """A topic is missing and cannot be made."""


class StoreError(PipelineError):
    """The database cannot be opened, read or written."""


class StoreFullError(StoreError):
    """There is no room left for the database; nothing of what was to be written is in it."""


class StoreBusyError(StoreError):
    """Another program has held the database for too long; nothing of what was to be written is in it."""


class BacklogError(PipelineError):
    """So many pictures wait that no more are taken."""


class KeyReusedError(PipelineError):
    """An idempotency key came a second time, with another picture."""

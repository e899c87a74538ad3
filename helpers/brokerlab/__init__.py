"""BrokerLab: a real ZooKeeper and a real Kafka cluster that a notebook starts, breaks and repairs.

>>> import brokerlab
>>> lab = brokerlab.start(brokers=3)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brokerlab import exercises, groups, observe, programs, tools, traffic, widgets
    from brokerlab.errors import BrokerLabError
    from brokerlab.exercises.course import course
    from brokerlab.lab import Lab, attach, start
    from brokerlab.refusal import refused

__all__ = [
    "BrokerLabError",
    "Lab",
    "attach",
    "course",
    "exercises",
    "groups",
    "observe",
    "programs",
    "refused",
    "start",
    "tools",
    "traffic",
    "widgets",
]

# Loaded when they are first used: a console tool imports this package too and must not wait for Jupyter.
_HOMES = {
    "BrokerLabError": "errors",
    "Lab": "lab",
    "attach": "lab",
    "course": "exercises.course",
    "refused": "refusal",
    "start": "lab",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"brokerlab.{_HOMES[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"brokerlab.{name}")
    raise AttributeError(f"module 'brokerlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

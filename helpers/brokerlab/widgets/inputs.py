"""What a view lets a learner set: native sliders and lists, so that keyboard and screen reader work."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import Any

from brokerlab.errors import SettingError


@dataclass(frozen=True)
class Slider:
    """A number from `low` to `high`, by `step`; `unit` is written after it."""

    name: str
    label: str
    low: float
    high: float
    step: float
    value: float
    unit: str = ""

    def check(self, value: Any) -> float:
        """Return `value` as a number that can be set.

        Raises
        ------
        SettingError
            It is none, or out of range.
        """
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise SettingError(
                f"{self.name} must be a number from {self.low:g} to {self.high:g}, "
                f"not {_brief(value)}."
            )
        if not self.low <= value <= self.high:
            raise SettingError(
                f"{self.name} can be {self.low:g} to {self.high:g}, and {_brief(value)} is not."
            )
        steps = round((value - self.low) / self.step)
        found = min(self.high, self.low + steps * self.step)
        return int(found) if float(found).is_integer() else round(found, 6)

    def plain(self) -> dict[str, Any]:
        """Return what the browser gets."""
        return {
            "kind": "slider",
            "name": self.name,
            "label": self.label,
            "low": self.low,
            "high": self.high,
            "step": self.step,
            "value": self.value,
            "unit": self.unit,
        }


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    name: str
    label: str
    options: tuple[str, ...]
    value: str

    def check(self, value: Any) -> str:
        """Return `value` if it is one of the options.

        Raises
        ------
        SettingError
            It is not.
        """
        if value not in self.options:
            raise SettingError(
                f"{self.name} can be {', '.join(map(repr, self.options))}, "
                f"and {_brief(value)} is not."
            )
        return str(value)

    def plain(self) -> dict[str, Any]:
        """Return what the browser gets."""
        return {
            "kind": "choice",
            "name": self.name,
            "label": self.label,
            "options": list(self.options),
            "value": self.value,
        }


Input = Slider | Choice


def _brief(value: Any) -> str:
    """Write a value that came from anywhere so that a sentence with it stays readable."""
    try:
        return reprlib.repr(value)
    except ValueError:
        return "a number of thousands of digits"

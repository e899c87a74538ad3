"""Demand that something is refused: a failure that a lesson shows is a failure that it checks."""

from __future__ import annotations

from types import TracebackType

from confluent_kafka import KafkaException


class refused:
    """A block that must raise an error; prints one line when it does.

    Parameters
    ----------
    kind : type of Exception, or tuple of them
        The error that must be raised.
    text : str, optional
        A part of its message, for example the name of Kafka's error code.

    Attributes
    ----------
    error : Exception or None
        After the block: the error, for a closer look.

    Raises
    ------
    AssertionError
        The block raised nothing, or another error.

    Examples
    --------
    >>> with refused(ZeroDivisionError, "division"):
    ...     1 / 0
    Refused, as it should be: ZeroDivisionError: division by zero
    """

    def __init__(self, kind: type[Exception] | tuple[type[Exception], ...], text: str = "") -> None:
        self._kinds = kind if isinstance(kind, tuple) else (kind,)
        self._text = text
        self.error: Exception | None = None

    def __enter__(self) -> refused:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        wanted = " or ".join(k.__name__ for k in self._kinds)
        wanted += f" with {self._text!r}" if self._text else ""
        if error is None:
            raise AssertionError(
                f"This should have been refused with {wanted}, and it went through."
            )
        if not isinstance(error, Exception):
            return False
        if not isinstance(error, self._kinds) or self._text not in str(error):
            raise AssertionError(
                f"This should have been refused with {wanted}; what came is {_reason(error)}"
            ) from error
        self.error = error
        print(f"Refused, as it should be: {_reason(error)}")
        return True


def _reason(error: Exception) -> str:
    if isinstance(error, KafkaException) and error.args and hasattr(error.args[0], "name"):
        return f"{error.args[0].name()}: {error.args[0].str()}"
    first_line = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__

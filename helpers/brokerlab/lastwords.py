"""Why a node is no more: what its log says last, and how its process ended."""

from __future__ import annotations

import itertools
import signal

LINES = 300
"""Of the log's end: what a node says when it dies, and not what it said in an earlier life."""
_KNOWN = {
    "No space left on device": "its disk is full: free some room there, then start it again",
    "java.lang.OutOfMemoryError": "its Java heap was too small for what it had to do: start it again, with less load",
    "Too many open files": "it may open no more files: raise the limit (`ulimit -n`), then start it again",
}

_ASKED = {128 + number: number.name for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}


def why_it_died(text: str, exit_code: int | None) -> str:
    """Return why a node ended that nobody had ended, as the rest of a sentence.

    Parameters
    ----------
    text : str
        Its log.
    exit_code : int or None
        Of its process, a signal as a negative number; None if that is not known. (A JVM that is asked to end by a
        signal does so by itself, with 128 and the signal's number.)
    """
    last = "\n".join(text.splitlines()[-LINES:])
    for words, meaning in _KNOWN.items():
        if words in last:
            return meaning
    if exit_code == -signal.SIGKILL:
        return "it was killed from outside: by hand, or by the system because memory was short"
    if exit_code in _ASKED:
        return f"it was asked to end from outside, by {_ASKED[exit_code]}"
    return last_error(text)


def last_error(text: str) -> str:
    """Return the last error of a node's log in one line: the exception and its deepest cause, where there is one."""
    lines = text.splitlines()
    # ZooKeeper's last error is always its exit code; the reason is the error before.
    marks = [
        i
        for i, line in enumerate(lines)
        if (" ERROR " in line or " FATAL " in line) and "Exiting JVM with code" not in line
    ]
    if not marks:
        return next((line.strip() for line in reversed(lines) if line.strip()), "it left no log")
    error, *after = lines[marks[-1] :]
    exception = list(itertools.takewhile(lambda line: not line.startswith("["), after))
    if not exception:
        return error.partition("] ")[2].partition(" ")[2].strip().removesuffix(".")
    causes = [line for line in exception if line.startswith("Caused by: ")]
    deepest = f", {causes[-1][0].lower()}{causes[-1][1:].strip()}" if causes else ""
    return exception[0].strip().removesuffix(".") + deepest.removesuffix(".")

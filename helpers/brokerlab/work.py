"""Real work for one core, of a chosen amount: what stands in for a recogniser until there is one."""

from __future__ import annotations

import time
from functools import cache
from hashlib import pbkdf2_hmac

USUAL = 0.08
"""Seconds of one core for a photo, where nobody asks for more or less."""
TRIALS = 25
ROUNDS_OF_A_TRIAL = 10_000


def recognise(photo: str, rounds: int | None = None) -> str:
    """Hash a photo's name `rounds` times and return the beginning of the hash.

    Without `rounds` it is as many as keep one core of this machine busy for about 0.08 s. The same photo and the
    same rounds always give the same text, and there is no short cut to it: who knows it has done the work. Other
    threads run meanwhile.
    """
    wanted = rounds_for(USUAL) if rounds is None else rounds
    return pbkdf2_hmac("sha256", photo.encode(), b"", wanted).hex()[:8]


def rounds_for(seconds: float) -> int:
    """Return how many rounds keep one core of this machine busy for `seconds`, when nothing else wants it."""
    return max(1, round(seconds * _rounds_per_second()))


@cache
def _rounds_per_second() -> float:
    # The quickest trial: the others were disturbed.
    return ROUNDS_OF_A_TRIAL / min(_seconds_of_a_trial() for _ in range(TRIALS))


def _seconds_of_a_trial() -> float:
    begun = time.perf_counter()
    recognise("trial", ROUNDS_OF_A_TRIAL)
    return time.perf_counter() - begun

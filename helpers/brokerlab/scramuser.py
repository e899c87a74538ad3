"""The user of a lab as its controllers are told of him: before any broker runs, and without a command line that shows him.

``kafka-storage.sh format --add-scram`` would write the same record, but takes the password as an argument.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from brokerlab.access import ITERATIONS, USER, Access
from brokerlab.wire import compact, exchange

ALTER_USER_SCRAM_CREDENTIALS, VERSION = 51, 0
SCRAM_SHA_256 = 1


def tell(
    addresses: Sequence[str], access: Access, key: Path | None = None, timeout: float = 5.0
) -> str:
    """Tell that one of the controllers which leads; return what is wrong, or nothing.

    Parameters
    ----------
    addresses : sequence of str
        Of all controllers, as ``host:port``.
    access : Access
        With a secret.
    key : path, optional
        The lab's key for its controllers (`brokerlab.wire.exchange`).
    timeout : float
        Seconds for each of them.
    """
    salt, salted = access.salted()
    kind = struct.pack(">bi", SCRAM_SHA_256, ITERATIONS)
    user = compact(USER.encode()) + kind + compact(salt) + compact(salted) + b"\0"
    # No deletions, one upsertion, no tags.
    body = b"\1" + b"\2" + user + b"\0"
    said = "no controller answers"
    for address in addresses:
        answer = exchange(address, ALTER_USER_SCRAM_CREDENTIALS, VERSION, body, timeout, key)
        if answer is None:
            continue
        answer.number("i")
        answer.varint()
        answer.text()
        error, text = answer.number("h"), answer.text()
        if error == 0:
            return ""
        said = text or f"error {error}"
    return said

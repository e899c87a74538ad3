"""Whether a lab asks for a password: where other people can use the same machine, it should."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

HUB = ("JUPYTERHUB_USER", "JUPYTERHUB_API_TOKEN")
HOMES = Path("/Users" if sys.platform == "darwin" else "/home")
SESSIONS = Path("/run/user")
"""Where Linux keeps a folder for each account that is logged in, called by its number."""

PEOPLE = range(501 if sys.platform == "darwin" else 1000, 60_000)
"""Numbers of accounts that people have; services are below, and what is made for a moment above.

A directory service may give higher ones, and then the homes and sessions of others go unseen: such a machine says
BROKERLAB_AUTH=on.
"""


def decide(asked: str, environ: Mapping[str, str] | None = None) -> tuple[bool, str]:
    """Return whether a lab is to ask for a password, and a sentence that says why.

    Parameters
    ----------
    asked : str
        One of `settings.AUTH`.
    """
    if asked != "auto":
        return asked == "on", f"BROKERLAB_AUTH is {asked}"
    for reason in signs_of_others(os.environ if environ is None else environ):
        return True, reason
    return False, "nobody else seems to use this machine"


def signs_of_others(
    environ: Mapping[str, str],
    homes: Path = HOMES,
    sessions: Path = SESSIONS,
    me: int | None = None,
) -> Iterator[str]:
    """Yield what shows that other people can run programs on this machine.

    Parameters
    ----------
    me : int, optional
        The number of this account, if not that of this process.
    """
    mine = os.getuid() if me is None else me
    if any(environ.get(name) for name in HUB):
        yield "a JupyterHub runs this notebook, and it may run others' beside it"
    # A container that is worked in as root often has the home of an account that nobody uses.
    if mine in PEOPLE:
        for home in _entries(homes):
            if _is_another(_owner(home), mine):
                yield f"somebody else has a home on this machine, {home}"
    for session in _entries(sessions):
        if session.name.isdecimal() and _is_another(int(session.name), mine):
            yield f"somebody else is logged in on this machine, with the user id {session.name}"


def _is_another(number: int, mine: int) -> bool:
    return number in PEOPLE and number != mine


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _owner(folder: Path) -> int:
    try:
        return folder.stat().st_uid
    except OSError:
        return -1

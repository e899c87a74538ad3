"""How a side talks with run.py: it says when it is ready to start, and then does as it is told.

One line of JSON each way. A side ends when its standard input does, so it cannot be left behind.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any


def serve(commands: dict[str, Callable[[], Any]]) -> None:
    """Announce that everything is imported, then answer commands until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Whatever else is printed is no answer.
    os.dup2(2, 1)

    def say(answer: Any) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    say("ready")
    for line in sys.stdin:
        say(commands[line.strip()]())

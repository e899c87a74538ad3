"""The same pictures through `multiprocessing.Pool`: a queue of one program, in its memory.

python pool.py FOLDER WORKERS KILLS
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

import psutil
from answers import kill_at_work, look, pictures_in
from conversation import serve


def main(folder: Path, workers: int, kills: int) -> None:
    pictures = pictures_in(folder)

    def drain() -> dict[str, Any]:
        with multiprocessing.Pool(workers) as pool:
            asked = [pool.apply_async(look, (picture,)) for picture in pictures]
            return {"ends": sorted(one.get()["at"] for one in asked)}

    def kill() -> dict[str, Any]:
        pool = multiprocessing.Pool(workers)
        asked = [pool.apply_async(look, (picture,)) for picture in pictures]

        def answered() -> int:
            return sum(one.ready() for one in asked)

        killed = kill_at_work(psutil.Process().children, answered, len(pictures), kills)
        return {"killed": killed, "lost": len(pictures) - answered()}

    serve({"drain": drain, "kill": kill})
    # A pool that has lost a task cannot be joined.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

"""The recogniser in a bare loop: a worker's work, and nothing around it.

python bare_loop.py FOLDER BEGIN STEP
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from brokerlab.pipeline.detector import Detector
from conversation import serve


def main(folder: Path, begin: int, step: int) -> None:
    pictures = [file.read_bytes() for file in sorted(folder.iterdir())[begin::step]]
    detector = Detector()
    detector.detect(pictures[0])

    def look() -> dict[str, Any]:
        work, begun = time.process_time(), time.monotonic()
        ends = []
        for picture in pictures:
            detector.detect(picture)
            ends.append(time.monotonic())
        return {"begun": begun, "ends": ends, "work": time.process_time() - work}

    serve({"look": look})


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

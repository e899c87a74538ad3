"""Makes the tools in lessons/ importable, as they are when lessons/build.py runs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lessons"))

"""The task as Celery's workers know it; the addresses and the settings under test come from the environment."""

from __future__ import annotations

import json
import os
from typing import Any

import answers
from celery import Celery

app = Celery("pictures", broker=os.environ["BENCH_BROKER"], backend=os.environ["BENCH_BACKEND"])
app.conf.update(json.loads(os.environ["BENCH_CELERY"]))


@app.task(name="look")
def look(picture: bytes) -> dict[str, Any]:
    return answers.look(picture)

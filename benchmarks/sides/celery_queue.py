"""The same pictures through Celery with Redis; both keep their defaults, but for the settings that are given.

python celery_queue.py FOLDER WORKERS KILLS SETTINGS-AS-JSON
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from conversation import serve
from redis import Redis

SOCKET = Path("redis.sock")
START_SECONDS = 60.0


def main(folder: Path, workers: int, kills: int, settings: str) -> None:
    address = SOCKET.absolute()
    os.environ["BENCH_BROKER"] = f"redis+socket://{address}"
    os.environ["BENCH_BACKEND"] = f"redis+socket://{address}"
    os.environ["BENCH_CELERY"] = settings
    from answers import kill_at_work, pictures_in
    from celery_tasks import look

    pictures = pictures_in(folder)

    def drain() -> dict[str, Any]:
        with _redis() as redis:
            asked = Asked(redis, [look.delay(picture).id for picture in pictures])
            with _workers(workers):
                while asked.answered() < len(pictures):
                    time.sleep(0.2)
        return {"ends": sorted(one["result"]["at"] for one in asked.answers)}

    def kill() -> dict[str, Any]:
        with _redis() as redis:
            asked = Asked(redis, [look.delay(picture).id for picture in pictures])
            with _workers(workers) as parent:
                killed = kill_at_work(parent.children, asked.answered, len(pictures), kills)
        done = sum(one["status"] == "SUCCESS" for one in asked.answers)
        return {"killed": killed, "lost": len(pictures) - done}

    serve({"drain": drain, "kill": kill})


class Asked:
    """Tasks that were sent, and what the backend says of them; each answer is read once."""

    def __init__(self, redis: Redis, ids: list[str]) -> None:
        self.answers: list[dict[str, Any]] = []
        self._redis = redis
        self._open = ids

    def answered(self) -> int:
        held = (
            self._redis.mget([f"celery-task-meta-{id}" for id in self._open]) if self._open else []
        )
        self.answers += [json.loads(one) for one in held if one is not None]
        self._open = [id for id, one in zip(self._open, held, strict=True) if one is None]
        return len(self.answers)


@contextmanager
def _redis() -> Iterator[Redis]:
    server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", str(SOCKET)])
    client = Redis(unix_socket_path=str(SOCKET))
    try:
        _wait_until(lambda: SOCKET.exists() and client.ping(), "Redis")
        yield client
    finally:
        client.close()
        server.kill()
        server.wait()


@contextmanager
def _workers(count: int) -> Iterator[psutil.Process]:
    """Start Celery's worker with so many processes; what waits is theirs at once."""
    folder = Path(__file__).parent
    line = [sys.executable, "-m", "celery", "--app", "celery_tasks", "worker"]
    parent = psutil.Popen([*line, f"--concurrency={count}", "--loglevel=WARNING"], cwd=folder)
    try:
        yield parent
    finally:
        for process in [*parent.children(recursive=True), parent]:
            process.kill()
        parent.wait()


def _wait_until(true: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not start")
        time.sleep(0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])

"""The ML queue, the recogniser in a bare loop, and other task queues: the same pictures, in turn, once a round."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import peers
from brokerlab.lab import Lab
from brokerlab.pipeline.camera import percentile
from brokerlab.pipeline.scenes import scene
from measure import Figure, counts, samples
from own_lab import own_lab
from queue_path import (
    WORKERS,
    Drained,
    drain,
    flat_out,
    line_through,
    lost_to_kills,
    per_second,
    post_seconds,
    synchronous_seconds,
    thirds,
    whole_way_seconds,
)
from side import SideError

SIDE_PX = 320
SEED = 320
POSTS_PER_SECOND = 100.0
BURST_SECONDS = 12.0
STEADY_SECONDS = 10.0
KILLS = 5
OURS = "the ML queue"
CELERY = {
    "Celery, its defaults": {},
    "Celery, acks_late": {"task_acks_late": True},
    "Celery, acks_late and reject_on_worker_lost": {
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
    },
}

THROUGHPUT = f"pictures a second, {WORKERS} workers"

LEAST_THROUGHPUT = 0.85
MOST_POST_MS = 25.0
GROWTH = 2.0
MOST_WAY = 5.0
STRAIGHT = 0.98
MOST_DEVIATION = 5.0
WORKER_MB = 120.0
WHOLE_MB = 1200.0


@dataclass(frozen=True)
class Bare:
    """What two processes with nothing but the recogniser did: answers a second, and seconds a picture."""

    per_second: float
    work: float
    median: float


@dataclass(frozen=True)
class Lost:
    """How many workers were killed at work, and how many pictures have no result in the end."""

    killed: int
    pictures: int


@dataclass
class Queued:
    """What was measured of the ML queue and of what stands beside it, a value a round."""

    bare: list[Bare] = field(default_factory=list)
    drained: list[Drained] = field(default_factory=list)
    posts: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    queued_thirds: list[list[float]] = field(default_factory=list)
    synchronous_thirds: list[list[float]] = field(default_factory=list)
    whole_speed: list[float] = field(default_factory=list)
    whole_way: list[float] = field(default_factory=list)
    pool: list[float] = field(default_factory=list)
    celery: list[float] = field(default_factory=list)
    lost: dict[str, Lost] = field(default_factory=dict)


def measure_queue(rounds: int, pictures: int) -> list[Figure]:
    """Send so many pictures through every side once a round, in turn; return the figures.

    Raises
    ------
    SideError
        A side did not do what it was told.
    """
    with_celery = shutil.which("redis-server") is not None
    if with_celery:
        peers.make_environment()
    else:
        print("Celery is left out: there is no redis-server here (Debian's package of that name).")
    seen = Queued()
    with _pictures(pictures) as folder, own_lab() as lab:
        ours = [file.read_bytes() for file in sorted(folder.iterdir())]
        for number in range(1, rounds + 1):
            _round(lab, folder, ours, with_celery, seen)
            last = per_second(seen.drained[-1].ends)
            print(
                f"round {number} of {rounds}: {last:.0f} pictures a second,"
                f" bare loop {seen.bare[-1].per_second:.0f}",
                flush=True,
            )
        _kill_workers(lab, folder, ours, with_celery, seen)
    return figures(seen)


def _round(lab: Lab, folder: Path, ours: list[bytes], with_celery: bool, seen: Queued) -> None:
    seen.bare.append(bare(folder))
    seen.drained.append(drain(lab, ours))
    seen.whole_speed.append(flat_out(lab, ours))
    posts = post_seconds(lab, ours, POSTS_PER_SECOND, STEADY_SECONDS)
    seen.posts.append(1000 * percentile(posts, 95))
    rate, waits = synchronous_seconds(ours, BURST_SECONDS)
    seen.rates.append(rate)
    seen.synchronous_thirds.append(thirds(waits))
    seen.queued_thirds.append(thirds(post_seconds(lab, ours, rate, BURST_SECONDS)))
    ways = whole_way_seconds(lab, ours, seen.whole_speed[-1] / 2, STEADY_SECONDS)
    seen.whole_way.append(1000 * statistics.median(ways))
    with peers.pool(folder, WORKERS) as side:
        side.wait_until_ready()
        seen.pool.append(per_second(side.ask("drain")["ends"]))
    if with_celery:
        with peers.celery(folder, WORKERS) as side:
            side.wait_until_ready()
            seen.celery.append(per_second(side.ask("drain")["ends"]))


def _kill_workers(
    lab: Lab, folder: Path, ours: list[bytes], with_celery: bool, seen: Queued
) -> None:
    """Kill workers of every side while they work, once: what is lost is no matter of speed."""
    seen.lost[OURS] = Lost(KILLS, lost_to_kills(lab, ours, KILLS))
    sides = {"multiprocessing.Pool": peers.pool(folder, WORKERS, KILLS)}
    if with_celery:
        for name, settings in CELERY.items():
            sides[name] = peers.celery(folder, WORKERS, KILLS, **settings)
    for name, side in sides.items():
        with side:
            side.wait_until_ready()
            told = side.ask("kill")
        if not told["killed"]:
            raise SideError(
                f"no worker of {name} could be killed while it worked: take more pictures"
            )
        seen.lost[name] = Lost(told["killed"], told["lost"])


def bare(folder: Path) -> Bare:
    """Let as many processes as there are workers share the pictures and do nothing else."""
    with ExitStack() as running, ThreadPoolExecutor(WORKERS) as at_once:
        sides = [
            running.enter_context(peers.bare_loop(folder, begin, WORKERS))
            for begin in range(WORKERS)
        ]
        for side in sides:
            side.wait_until_ready()
        looked = list(at_once.map(lambda side: side.ask("look"), sides))
    ends = sorted(end for one in looked for end in one["ends"])
    each = [
        after - before
        for one in looked
        for before, after in zip([one["begun"], *one["ends"]], one["ends"], strict=False)
    ]
    work = sum(one["work"] for one in looked)
    return Bare(per_second(ends), work / len(ends), statistics.median(each))


@contextmanager
def _pictures(count: int) -> Iterator[Path]:
    """Draw so many scenes into a folder that goes with the context."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for number in range(count):
            picture = scene(SEED, number, SIDE_PX).picture
            (Path(folder) / f"{number:05}.jpg").write_bytes(picture)
        yield Path(folder)


def figures(seen: Queued) -> list[Figure]:
    """Put what was measured side by side, with the bounds."""
    bare_loop = "the recogniser in a bare loop, as many processes"
    speed = samples(per_second(one.ends) for one in seen.drained)
    lines = [line_through(one) for one in seen.drained]
    rows = [
        Figure(THROUGHPUT, "/s", speed, bare_loop, samples(one.per_second for one in seen.bare), LEAST_THROUGHPUT, at_least=True),
        Figure("processor time of a picture: workers", "ms", samples(1000 * one.work / len(one.ends) for one in seen.drained), bare_loop, samples(1000 * one.work for one in seen.bare)),
        Figure("the same, with relay, brokers and collector", "ms", samples(1000 * one.whole_work / len(one.ends) for one in seen.drained), bare_loop, samples(1000 * one.work for one in seen.bare)),
        Figure(f"POST at {POSTS_PER_SECOND:.0f}/s, p95", "ms", samples(seen.posts), bound=MOST_POST_MS),
    ]  # fmt: skip
    rate = statistics.median(seen.rates)
    for number, name in enumerate(("first", "second", "last")):
        ours = samples(one[number] for one in seen.queued_thirds)
        theirs = samples(one[number] for one in seen.synchronous_thirds)
        what = f"POST at {rate:.0f}/s, p95, {name} third"
        rows.append(Figure(what, "ms", ours, "the version without a queue", theirs))
    first, _, last = (samples(part) for part in zip(*seen.synchronous_thirds, strict=True))
    rows += [
        Figure("without a queue: p95 of the last third", "ms", last, "its first third", first, GROWTH, at_least=True),
        Figure("pictures a second, sent without pause", "/s", samples(seen.whole_speed), bare_loop, samples(one.per_second for one in seen.bare)),
        Figure("from due to result at half of that, p50", "ms", samples(seen.whole_way), "the recogniser's own time", samples(1000 * one.median for one in seen.bare), MOST_WAY),
        Figure("the lag shrinks in a line: R²", "", samples(one.r_squared for one in lines), bound=STRAIGHT, at_least=True),
        Figure("the same: farthest from the line, of the lag", "%", samples(one.deviation for one in lines), bound=MOST_DEVIATION),
        Figure("memory of a worker", "MB", samples(mb for one in seen.drained for mb in one.worker_memory), bound=WORKER_MB),
        Figure("memory of the lab with the whole queue", "MB", samples(one.whole_memory for one in seen.drained), bound=WHOLE_MB),
        Figure(THROUGHPUT, "/s", speed, "multiprocessing.Pool", samples(seen.pool)),
    ]  # fmt: skip
    if seen.celery:
        theirs = samples(seen.celery)
        rows.append(Figure(THROUGHPUT, "/s", speed, "Celery with Redis", theirs))
    what = f"pictures lost to {KILLS} killed workers"
    lost = counts([seen.lost[OURS].pictures])
    rows.append(Figure(what, "", lost, bound=0))
    for name, theirs in seen.lost.items():
        if name != OURS:
            beside = (
                name if theirs.killed == KILLS else f"{name}; stood still after {theirs.killed}"
            )
            rows.append(Figure(what, "", lost, beside, counts([theirs.pictures])))
    return rows

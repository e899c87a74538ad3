"""The ML queue's figures: what they say of good and bad values, and every side on a few real pictures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import peers
import pytest
from brokerlab.lab import Lab
from brokerlab.pipeline.scenes import scene
from measure import Figure
from queue_path import (
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
from queue_rounds import OURS, Bare, Lost, Queued, bare, figures

FEW = 120


def steady(count: int = 400, rate: float = 100.0) -> list[float]:
    return [7 + number / rate for number in range(count)]


def seen(**changes: object) -> Queued:
    whole = {
        "bare": [Bare(110.0, 0.006, 0.006)],
        "drained": [Drained(steady(), 7.0, 2.6, 4.0, [98.0, 99.0], 940.0)],
        "posts": [9.0],
        "rates": [300.0],
        "queued_thirds": [[20.0, 21.0, 20.0]],
        "synchronous_thirds": [[1000.0, 2000.0, 3000.0]],
        "whole_speed": [80.0],
        "whole_way": [28.0],
        "pool": [105.0],
        "celery": [80.0],
        "lost": {OURS: Lost(5, 0), "multiprocessing.Pool": Lost(1, 9), "Celery": Lost(5, 5)},
    }
    return Queued(**(whole | changes))  # type: ignore[arg-type]


def missed(one: Queued) -> list[str]:
    return [figure.name for figure in figures(one) if figure.holds is False]


def test_a_good_queue_holds_every_bound() -> None:
    assert missed(seen()) == []
    assert sum(figure.holds is True for figure in figures(seen())) == 9


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"bare": [Bare(125.0, 0.006, 0.006)]}, "pictures a second, 2 workers"),
        ({"posts": [26.0]}, "POST at 100/s, p95"),
        ({"synchronous_thirds": [[1000.0, 1500.0, 1900.0]]}, "without a queue: p95 of the last third"),
        ({"whole_way": [31.0]}, "from due to result at half of that, p50"),
        ({"drained": [Drained(steady(), 7.0, 2.6, 4.0, [98.0, 150.0, 151.0], 940.0)]}, "memory of a worker"),
        ({"drained": [Drained(steady(), 7.0, 2.6, 4.0, [98.0], 1300.0)]}, "memory of the lab with the whole queue"),
        ({"lost": {OURS: Lost(5, 1)}}, "pictures lost to 5 killed workers"),
    ],
)  # fmt: skip
def test_what_is_too_much_is_missed(changes: dict[str, object], name: str) -> None:
    assert missed(seen(**changes)) == [name]


def test_a_queue_that_stands_still_for_a_while_does_not_drain_in_a_line() -> None:
    ends = steady(200) + [end + 3 for end in steady(400)[200:]]
    names = missed(seen(bare=[Bare(50.0, 0.006, 0.006)], drained=[Drained(ends, 7.0, 2.6, 4.0, [98.0], 940.0)]))  # fmt: skip
    assert names == ["the lag shrinks in a line: R²", "the same: farthest from the line, of the lag"]  # fmt: skip


def test_where_there_is_no_redis_the_rest_is_judged() -> None:
    without = figures(seen(celery=[], lost={OURS: Lost(5, 0), "multiprocessing.Pool": Lost(5, 9)}))
    assert not [figure for figure in without if "Celery" in figure.peer]
    assert {figure.holds for figure in without} == {True, None}


def test_a_line_is_a_line() -> None:
    drained = Drained(steady(), 7.0, 2.6, 4.0, [98.0], 940.0)
    line = line_through(drained)
    assert line.r_squared == pytest.approx(1) and line.deviation == pytest.approx(0, abs=1e-6)
    assert per_second(steady()) == pytest.approx(100)
    slow_before = replace(drained, ends=[2.0, 4.0, 6.0, *steady()])
    assert line_through(slow_before).r_squared == pytest.approx(1)
    bundles = [end for end in steady(40, 10.0) for _ in range(10)]
    assert per_second(bundles) == pytest.approx(100, rel=0.02)


def test_thirds_are_taken_in_the_order_in_which_pictures_were_due() -> None:
    assert thirds([0.1] * 10 + [0.2] * 10 + [0.4] * 10) == pytest.approx([100, 200, 400])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pictures")
    for number in range(FEW):
        (made / f"{number:05}.jpg").write_bytes(scene(320, number, 320).picture)
    return made


@pytest.fixture(scope="module")
def few(folder: Path) -> Iterator[list[bytes]]:
    yield [file.read_bytes() for file in sorted(folder.iterdir())]


def test_the_bare_loop_looks_at_each_picture_once(folder: Path) -> None:
    looked = bare(folder)
    assert looked.per_second > 0 and 0 < looked.median < 1 and 0 < looked.work < 1


def test_a_pool_answers_all_and_loses_some_when_its_workers_are_killed(folder: Path) -> None:
    with peers.pool(folder, 2, kills=2) as side:
        side.wait_until_ready()
        assert len(side.ask("drain")["ends"]) == FEW
        told = side.ask("kill")
    assert 1 <= told["killed"] <= 2 and 0 < told["lost"] < FEW


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no redis-server")
def test_celery_answers_all_and_is_killed_at_work(folder: Path) -> None:
    peers.make_environment()
    with peers.celery(folder, 2) as side:
        side.wait_until_ready()
        assert len(side.ask("drain")["ends"]) == FEW
    settings = {"task_acks_late": True, "task_reject_on_worker_lost": True}
    with peers.celery(folder, 2, kills=1, **settings) as side:
        side.wait_until_ready()
        assert side.ask("kill") == {"killed": 1, "lost": 0}


@pytest.mark.cluster
def test_the_queue_drains_a_pile(lab: Lab, few: list[bytes]) -> None:
    drained = drain(lab, few)
    assert len(drained.ends) == FEW and drained.ends == sorted(drained.ends)
    assert drained.published < drained.ends[-1]
    assert 0 < drained.work < drained.whole_work
    assert len(drained.worker_memory) == 2
    assert sum(drained.worker_memory) < drained.whole_memory


@pytest.mark.cluster
def test_what_senders_and_their_pictures_wait_for(lab: Lab, few: list[bytes]) -> None:
    assert flat_out(lab, few) > 0
    assert len(post_seconds(lab, few, 40, 1)) == 40
    ways = whole_way_seconds(lab, few, 20, 1)
    assert len(ways) == 20 and all(0 < way < 60 for way in ways)


@pytest.mark.cluster
def test_a_killed_worker_costs_no_picture(lab: Lab, few: list[bytes]) -> None:
    assert lost_to_kills(lab, few, 1) == 0


def test_the_version_without_a_queue_is_overloaded() -> None:
    rate, waits = synchronous_seconds([scene(320, 0, 320).picture], 2)
    assert rate > 10 and len(waits) == round(rate * 2)


def test_what_stood_still_after_a_kill_is_told() -> None:
    told = {figure.peer for figure in figures(seen()) if figure.name.startswith("pictures lost")}
    assert told == {"", "multiprocessing.Pool; stood still after 1", "Celery"}


def test_figures_have_names_of_their_own_beside_their_peers() -> None:
    rows: list[Figure] = figures(seen())
    assert len({(row.name, row.peer) for row in rows}) == len(rows)

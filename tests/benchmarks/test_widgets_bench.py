"""What live views cost: the figures, and a kernel seen from outside."""

from __future__ import annotations

import psutil
import pytest
from kernel import Kernel
from side import SideError
from widgets import BUSY_SECONDS, VIEWS, Seen, View, figures, measure_views

VIEW = View("Clock", "Clock(lab)")
STILL = View("Clock", "Clock(lab)", still=True)


def seen(**changes: list[float]) -> Seen:
    whole = {
        "kernel": [2.0] * 10,
        "children": [0.0] * 10,
        "memory": [70.0] * 100,
        "looks": [0.16] * 50,
        "pictures": [0.18] * 50,
        "changing": [3.0],
        "states": [4.0] * 10,
    }
    return Seen(**(whole | changes))


def verdicts(one: Seen, view: View = VIEW) -> dict[str, bool | None]:
    return {f.name.removeprefix("Clock: "): f.holds for f in figures(view, one)}


EVERY = {
    "CPU of the kernel": True,
    "memory at the end": True,
    "look to look, a cell computing": True,
    "picture to picture, a cell computing": True,
    "CPU of the kernel, as it changes": True,
    "pictures sent": None,
}


def test_a_cheap_view_holds_every_bound():
    assert verdicts(seen()) == EVERY


def test_a_view_at_rest_has_to_look_and_needs_no_pictures():
    at_rest = seen(states=[0.0] * 10, pictures=[BUSY_SECONDS])
    rest = ("CPU of the kernel", "memory at the end", "look to look, a cell computing")
    assert verdicts(at_rest, STILL) == {name: EVERY[name] for name in rest}
    assert verdicts(seen(looks=[0.21] * 50), STILL)["look to look, a cell computing"] is False
    assert verdicts(at_rest)["picture to picture, a cell computing"] is False


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({"kernel": [5.1] * 10}, "CPU of the kernel"),
        ({"memory": [70.0 + n / 10 for n in range(100)]}, "memory at the end"),
        ({"looks": [0.21] * 50}, "look to look, a cell computing"),
        ({"pictures": [0.21] * 50}, "picture to picture, a cell computing"),
        ({"changing": [5.1]}, "CPU of the kernel, as it changes"),
    ],
)
def test_what_is_too_dear_is_missed(changes, missed):
    assert [name for name, holds in verdicts(seen(**changes)).items() if holds is False] == [missed]


def test_a_view_that_leaves_time_between_two_looks_may_be_so_much_later():
    slow = View("Clock", "Clock(lab)", looks_every=0.4, pictures_every=1.0)
    late = seen(looks=[0.55] * 20, pictures=[1.15] * 9)
    assert all(holds is not False for holds in verdicts(late, slow).values())
    later = verdicts(seen(looks=[0.61] * 20, pictures=[1.21] * 9), slow)
    assert [name for name, holds in later.items() if holds is False] == [
        "look to look, a cell computing",
        "picture to picture, a cell computing",
    ]


def test_memory_that_a_view_takes_at_its_start_is_no_growth():
    assert verdicts(seen(memory=[50.0] * 10 + [70.0] * 90))["memory at the end"]


def test_what_there_is_not_is_not_listed():
    assert "pictures sent" not in verdicts(seen(states=[0.0] * 10))
    assert "CPU of its processes" in verdicts(seen(children=[0.4] * 10))


@pytest.fixture(scope="module")
def kernel():
    with Kernel() as one:
        yield one
    assert not psutil.pid_exists(one.process.pid) or not one.process.is_running()


def test_a_kernel_runs_cells_and_its_work_is_counted(kernel):
    before = kernel.seconds_of_work()
    kernel.run(
        "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    )
    assert kernel.seconds_of_work() - before >= 0.25
    assert kernel.memory() > 10 and kernel.seconds_of_children() == 0


def test_a_cell_that_fails_is_an_error_that_names_it(kernel):
    with pytest.raises(SideError, match="division by zero: 1 / 0"):
        kernel.run("1 / 0")


def test_looks_and_pictures_are_counted(kernel):
    kernel.run(
        "import time\n"
        "from brokerlab.widgets.base import LiveView\n"
        "from brokerlab.widgets.scene import picture, text\n"
        "class Seen:\n"
        "    taken = property(lambda self: time.time())\n"
        "class Clock(LiveView):\n"
        "    words = 'a'\n"
        "    look = lambda self: Seen()\n"
        "    draw = lambda self, seen: picture(9, 9, 'x', text(0, 9, self.words))\n"
        "view = Clock()\n"
        "time.sleep(1.3)\n"
        "view.words = 'b'; view.touch(); time.sleep(0.5); view.close()"
    )
    # What was sent is heard on a channel of its own, a moment later than the end of the cell.
    limit = 50
    while len(kernel.states) < 2 and limit:
        kernel.run("time.sleep(0.1)")
        limit -= 1
    assert len(kernel.looks) >= 3
    assert len(kernel.states) in (2, 3), "one when the words changed, one at the end"
    assert all(size > 100 for _, size in kernel.states)


@pytest.mark.cluster
def test_a_view_that_cannot_be_made_is_an_error():
    with pytest.raises(SideError, match="name 'Nothing' is not defined"):
        measure_views([View("none", "Nothing(lab)")], 1)


def test_the_views_have_names_of_their_own():
    assert len({view.name for view in VIEWS}) == len(VIEWS)

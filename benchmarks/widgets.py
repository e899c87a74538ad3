"""What live views cost the kernel that shows them, while messages flow; see README.md."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise

from brokerlab.traffic import Traffic
from brokerlab.widgets import connector_board, migration_facts, request_board, scale_board
from confluent_kafka.admin import AdminClient, NewTopic
from kernel import Kernel
from measure import Figure, samples
from own_lab import own_lab
from side import SideError

TOPIC = "photos"
PER_SECOND = 120
WINDOW = 60.0
"""Seconds of one value of processor time; a tenth of the whole, if that is less than ten of them."""

BUSY_SECONDS = 10.0
CHANGE_SECONDS = 10.0
RUN_SECONDS = 2 * (BUSY_SECONDS + CHANGE_SECONDS)

REMEMBER_EVERY = 1.0
LIVE_SECONDS = 30.0
LINES_PER_SECOND = 10
PICTURES_PER_SECOND = 10
PICTURES = round(PICTURES_PER_SECOND * RUN_SECONDS)

MOST_PERCENT = 5.0
SLOWEST = 0.2
MOST_GROWTH = 1.03

SETUP = """
import brokerlab
from brokerlab.progress import Progress
from brokerlab.widgets import *
from IPython.display import display
lab = brokerlab.start(brokers=3, progress=Progress())
"""
# To draw a picture takes 4 ms. It is done beforehand (the panel's are kept too), for it is no part of a view.
QUEUE = """
from brokerlab.mlqueue import MLQueue
from brokerlab.storm import picture
queue = MLQueue(lab, {prefix!r})
queue.begin(workers=1)
drawn = [picture(number) for number in range({pictures})]
"""
# A connector that copies a file's lines, and who writes into that file.
LINES = """
import threading
connect = lab.connect
connect.clear()
connect.start()
source = connect.files / "in.txt"
source.write_text("a line\\n")
connect.put("lines-in", {{
    "connector.class": "FileStreamSource", "file": source, "topic": "lines",
    "topic.creation.default.replication.factor": 3, "topic.creation.default.partitions": 1,
}})
over = threading.Event()
def write():
    with source.open("a") as lines:
        while not over.wait(1 / {per_second}):
            print("one more", file=lines, flush=True)
"""
BUSY = """
import time
end = time.monotonic() + {seconds}
while time.monotonic() < end:
    sum(range(1000))
"""


@contextmanager
def a_run(kernel: Kernel) -> Iterator[None]:
    """Let a load bench run: callers come for as long as the context is open."""
    kernel.run("view.start()\nview.wait_until(lambda run: run.calls, 60, 'the first caller')")
    yield
    kernel.run(
        "assert view.look().phase == 'arriving', 'the run was over too soon'\n"
        "view.stop()\nview.wait_until(lambda run: run.phase == 'over', 30, 'the end of the run')"
    )


def pictures(begin: str, done: str, end: str) -> Callable[[Kernel], AbstractContextManager[None]]:
    """Return what lets pictures come through the view's ML queue for as long as the context is open.

    Parameters
    ----------
    begin, end : str
        Lines of Python: the first picture is sent by the one, and no more come after the other.
    done : str
        An expression of Python: whether a look, called ``seen``, has a picture that is done.
    """

    @contextmanager
    def coming(kernel: Kernel) -> Iterator[None]:
        kernel.run(f"{begin}\nview.wait_until(lambda seen: {done}, 60, 'the first picture')")
        yield
        kernel.run(
            f"assert queue.store.counts().total < {PICTURES}, 'the pictures were over too soon'\n{end}"
        )

    return coming


@contextmanager
def lines(kernel: Kernel) -> Iterator[None]:
    """Let lines come through the view's connector for as long as the context is open."""
    kernel.run(
        "writer = threading.Thread(target=write)\nwriter.start()\n"
        "view.wait_until(lambda seen: seen.moved and (seen.moved[0].records or 0) > 1, 60, 'the first line')"
    )
    yield
    kernel.run("over.set()\nwriter.join()")


def _queue(prefix: str) -> str:
    return QUEUE.format(prefix=prefix, pictures=PICTURES)


@dataclass(frozen=True)
class View:
    """A view that is measured.

    Attributes
    ----------
    name : str
        What it is called in the table.
    code : str
        An expression of Python that makes it; ``lab`` has the topic ``photos``, to which messages flow.
    still : bool
        Whether messages and time change nothing that it shows: it looks, and has nothing to send.
    change : callable or None
        Makes what rests without it change, for as long as the context is open that it returns.
    before : str
        What is run before `code`.
    looks_every, pictures_every : float
        Seconds that the view itself leaves between two looks, and between two pictures, where that is more than
        the base's: its bounds are so much later.
    """

    name: str
    code: str
    still: bool = False
    change: Callable[[Kernel], AbstractContextManager[None]] | None = None
    before: str = ""
    looks_every: float = 0.0
    pictures_every: float = 0.0


VIEWS = (
    View("ClusterMap", "ClusterMap(lab)", still=True),
    View("ClusterMap, flow", "ClusterMap(lab, flow=True)"),
    View("PartitionLanes", 'PartitionLanes(lab, "photos")'),
    View("ReplicaMatrix", 'ReplicaMatrix(lab, "photos")'),
    View("WatchLine", 'WatchLine(lab, "photos")'),
    View("AcksLadder", 'AcksLadder(lab, "photos")', still=True),
    View("AssignmentBoard", 'AssignmentBoard(lab, "photos", "recognisers")'),
    View("OffsetRuler", 'OffsetRuler(lab, "photos", "night-shift")'),
    View("LoadBench", f"LoadBench(lab, seconds={RUN_SECONDS:g})", change=a_run),
    View(
        "RequestBoard",
        "RequestBoard(queue)",
        change=pictures(
            f"view.set(count={PICTURES}, rate={PICTURES_PER_SECOND})\nview.burst()",
            "seen.states['done']",
            "view.results()",
        ),
        before=_queue("requests"),
        looks_every=request_board.LOOK_EVERY,
        pictures_every=request_board.LOOK_EVERY,
    ),
    View(
        "ChaosPanel",
        "ChaosPanel(queue)",
        change=pictures(
            f"view.set(rate={PICTURES_PER_SECOND})\nview.send({PICTURES})",
            "seen.counts.done",
            "view.results(60)",
        ),
        before=_queue("chaos"),
    ),
    View(
        "ScaleBoard",
        "ScaleBoard(queue, lambda number: drawn[number])",
        change=pictures(
            f"view.set(rate={PICTURES_PER_SECOND})",
            "seen.samples and seen.samples[-1].done",
            "view.set(rate=0)\nqueue.settle()",
        ),
        before=_queue("scale"),
        looks_every=scale_board.EVERY,
        pictures_every=scale_board.EVERY,
    ),
    View(
        "ConnectorBoard",
        'ConnectorBoard(lab, {"lines-in": lambda: len(source.read_text().splitlines())})',
        change=lines,
        before=LINES.format(per_second=LINES_PER_SECOND),
        looks_every=connector_board.EVERY,
        pictures_every=connector_board.EVERY,
    ),
    View(
        "MigrationLine",
        "MigrationLine(lab)",
        looks_every=migration_facts.PERIOD,
        pictures_every=migration_facts.PERIOD,
    ),
)


@dataclass
class Seen:
    """What was seen of one view.

    Attributes
    ----------
    kernel, children : list of float
        Shares of one core, in percent, a window each: of the kernel, and of the processes the view keeps.
    changing : list of float
        The kernel's share while it shows what changes, in one window.
    memory : list of float
        Resident memory of the kernel in MB, from begin to end.
    looks, pictures : list of float
        Seconds from one look to the next, and from one picture sent to the next, while a cell computes.
    states : list of float
        Pictures sent a second, a window each.
    """

    kernel: list[float] = field(default_factory=list)
    children: list[float] = field(default_factory=list)
    changing: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)
    pictures: list[float] = field(default_factory=list)
    states: list[float] = field(default_factory=list)


def measure_views(views: Sequence[View], minutes: float) -> list[Figure]:
    """Show every view in a kernel of its own, on one lab, for so many minutes; return what it costs.

    Raises
    ------
    SideError
        A view could not be shown.
    """
    with own_lab() as lab, ExitStack() as open_kernels:
        # A client that is not kept in a variable ends before it has done its work.
        admin = AdminClient(lab.client)
        admin.create_topics([NewTopic(TOPIC, 3, 3)])[TOPIC].result(30)
        traffic = Traffic(lab, TOPIC, PER_SECOND)
        open_kernels.callback(traffic.stop)
        kernels = []
        for view in views:
            kernel = open_kernels.enter_context(Kernel())
            kernels.append((view, kernel, Seen()))
            kernel.run(SETUP + view.before + f"view = {view.code}\ndisplay(view)")
            _wait_until_live(view, kernel)
            _move(view, kernel, kernels[-1][2])
        _watch([(kernel, seen) for _, kernel, seen in kernels], minutes * 60)
    return [figure for view, _, seen in kernels for figure in figures(view, seen)]


def figures(view: View, seen: Seen) -> list[Figure]:
    """Return the rows of one view, with the bounds that hold for every view."""
    tenth = max(1, len(seen.memory) // 10)
    begin, end = seen.memory[tenth : 2 * tenth] or seen.memory, seen.memory[-tenth:]
    name = view.name
    rows = [
        Figure(f"{name}: CPU of the kernel", "%", samples(seen.kernel), bound=MOST_PERCENT),
        Figure(
            f"{name}: memory at the end",
            "MB",
            samples(end),
            "itself, after a tenth of the time",
            samples(begin),
            MOST_GROWTH,
        ),
        Figure(
            f"{name}: look to look, a cell computing",
            "s",
            samples(seen.looks),
            bound=SLOWEST + view.looks_every,
        ),
    ]
    if not view.still:
        changing = samples(seen.changing)
        rows += [
            Figure(
                f"{name}: picture to picture, a cell computing",
                "s",
                samples(seen.pictures),
                bound=SLOWEST + view.pictures_every,
            ),
            Figure(f"{name}: CPU of the kernel, as it changes", "%", changing, bound=MOST_PERCENT),
        ]
    # A view that is at rest sends nothing, and most keep no process: there is nothing to list then.
    listed = [("pictures sent", "/s", seen.states), ("CPU of its processes", "%", seen.children)]
    return rows + [
        Figure(f"{name}: {what}", unit, samples(values))
        for what, unit, values in listed
        if all(value > 0 for value in values)
    ]


def _wait_until_live(view: View, kernel: Kernel) -> None:
    limit = time.monotonic() + LIVE_SECONDS
    while len(kernel.looks) < 5:
        if time.monotonic() > limit:
            raise SideError(f"{view.name} was not live within {LIVE_SECONDS:.0f} s")
        time.sleep(0.1)


def _move(view: View, kernel: Kernel, seen: Seen) -> None:
    """Measure the view while it shows what changes, first beside a cell that computes."""
    with view.change(kernel) if view.change else nullcontext():
        looks, pictures = len(kernel.looks), len(kernel.states)
        kernel.run(BUSY.format(seconds=BUSY_SECONDS))
        seen.looks += _steps(kernel.looks[looks:])
        seen.pictures += _steps([at for at, _ in kernel.states[pictures:]])
        work, began = kernel.seconds_of_work(), time.monotonic()
        time.sleep(CHANGE_SECONDS)
        took = time.monotonic() - began
        seen.changing.append(100 * (kernel.seconds_of_work() - work) / took)


def _steps(times: Sequence[float]) -> list[float]:
    return [after - before for before, after in pairwise(times)] or [BUSY_SECONDS]


def _watch(kernels: Sequence[tuple[Kernel, Seen]], seconds: float) -> None:
    """Take the values of all kernels, window by window."""
    window = min(WINDOW, seconds / 10)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        before = [
            (kernel.seconds_of_work(), kernel.seconds_of_children(), len(kernel.states))
            for kernel, _ in kernels
        ]
        while time.monotonic() < began + window:
            for kernel, seen in kernels:
                seen.memory.append(kernel.memory())
            time.sleep(min(REMEMBER_EVERY, window / 5))
        took = time.monotonic() - began
        for (kernel, seen), (work, children, states) in zip(kernels, before, strict=True):
            seen.kernel.append(100 * (kernel.seconds_of_work() - work) / took)
            seen.children.append(100 * (kernel.seconds_of_children() - children) / took)
            seen.states.append((len(kernel.states) - states) / took)

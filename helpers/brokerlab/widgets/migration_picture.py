"""How a migration is drawn: what ZooKeeper holds and whom the brokers follow, as lanes on one clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from brokerlab.kraft import FIRST_ID, MIGRATION_STEPS
from brokerlab.widgets.buttons import HEIGHT as BUTTON
from brokerlab.widgets.buttons import Verb, at_rest, row
from brokerlab.widgets.headline import HEIGHT as HEADLINE
from brokerlab.widgets.headline import headline
from brokerlab.widgets.migration_facts import Course, Facts
from brokerlab.widgets.scene import Element, box, group, picture, text
from brokerlab.widgets.timeline import Lane, Stretch, timeline, timeline_height

WIDTH = 880
NAMES = 170
HEAD = 28
LEGEND = 28

Reading = tuple[str, str, str]
"""Class of a bar, the words on it, the class of the words."""

WORDS = {
    "start_controller": "1 start controller",
    "join_brokers": "2 join brokers",
    "move_brokers": "3 move brokers",
    "finalise": "4 finalise",
    "stop_zookeeper": "5 stop ZooKeeper",
}
"""Step -> what its button says."""


class MigrationPicture:
    """One picture; its height depends on how many brokers there are, never on what happens."""

    def __init__(
        self, seen: Course, brokers: Sequence[int], seconds: float, busy: frozenset[str]
    ) -> None:
        self.seen = seen
        self.brokers = brokers
        self.seconds = seconds
        self.busy = busy

    def picture(self) -> Element:
        lanes = tuple(self._lanes())
        strip = HEAD + timeline_height(len(lanes)) + 8
        verbs = strip + HEADLINE + 12
        legend = verbs + BUTTON + 14
        kind, words = notice(self.seen)
        return picture(
            WIDTH,
            legend + LEGEND,
            f"Time line of a migration. {words}",
            text(NAMES + 2, 18, f"the last {self.seconds} s", "text soft small"),
            timeline(lanes, self.seen.taken, self.seconds, width=WIDTH, y=HEAD, names=NAMES),
            headline(kind, words, y=strip, width=WIDTH - 4, room=WIDTH - 60),
            row(at_rest(self._verbs(), self.busy), "steps", verbs),
            _legend(legend),
        )

    def _verbs(self) -> tuple[Verb, ...]:
        taken = MIGRATION_STEPS.index(self.seen.phase) + 1 if self.seen.phase else 0
        may = self.seen.mode != "kraft" and not self.seen.problem and not self.busy
        return tuple(
            Verb(WORDS[step], step, f"lab.migration.{step}()", 164, may and number == taken)
            for number, step in enumerate(MIGRATION_STEPS)
        )

    def _lanes(self) -> Iterator[Lane]:
        yield self._lane("znode /controller", _controller)
        yield self._lane("znode /migration", _migration)
        yield self._lane("quorum's leader", _leader)
        for number in self.brokers:
            yield self._lane(f"broker {number}", _broker(number))

    def _lane(self, name: str, read: Callable[[Facts], Reading]) -> Lane:
        return Lane(name, tuple(self._stretches(read)))

    def _stretches(self, read: Callable[[Facts], Reading]) -> Iterator[Stretch]:
        begun, shown = self.seen.moments[0].at, read(self.seen.moments[0].facts)
        for moment in self.seen.moments[1:]:
            if (now := read(moment.facts)) != shown:
                yield Stretch(begun, moment.at, *shown)
                begun, shown = moment.at, now
        yield Stretch(begun, None, *shown)


def _controller(facts: Facts) -> Reading:
    if not facts.answers:
        return "down", "no ZooKeeper", "text soft"
    if facts.controller is None:
        return "leaderless", "nobody", "on-leaderless"
    if facts.controller > FIRST_ID:
        return "controller", f"controller {facts.controller}", "on-controller"
    return "zookeeper", f"broker {facts.controller}", "text"


def _migration(facts: Facts) -> Reading:
    if not facts.answers:
        return "down", "no ZooKeeper", "text soft"
    if facts.taken_over is None:
        return "down", "no such znode", "text soft"
    if facts.taken_over < 0:
        return "frozen", "−1: nobody yet", "text"
    return "controller", f"{facts.taken_over} has taken over", "on-controller"


def _leader(facts: Facts) -> Reading:
    if facts.leader is None:
        return "down", "none", "text soft"
    return "controller", f"controller {facts.leader}", "on-controller"


def _broker(number: int) -> Callable[[Facts], Reading]:
    def read(facts: Facts) -> Reading:
        listed, follows = number in facts.ids, number in facts.followers
        if listed and follows:
            return "follower", "znode, and follows", "text"
        if listed:
            return "zookeeper", "znode", "text"
        if follows:
            return "controller", "follows", "on-controller"
        if facts.leader is None and (facts.controller is None or facts.controller > FIRST_ID):
            # Whom a broker follows the leader tells, and there is none at the moment.
            return "down", "not known", "text soft"
        return "leaderless", "away", "on-leaderless"

    return read


def notice(seen: Course) -> tuple[str, str]:
    """Say in one sentence what is to be noticed now, and of which kind it is."""
    now = seen.now
    if seen.problem:
        return "lost", seen.problem
    if seen.mode == "kraft":
        if now.leader is None:
            return (
                "leaderless",
                "No controller leads, and there is no ZooKeeper: nothing is repaired now.",
            )
        return (
            "fine",
            f"There is no ZooKeeper any more. Controller {now.leader} decides, and the brokers follow it.",
        )
    if not now.answers:
        return "warned", "ZooKeeper does not answer: lab.repair() starts it."
    if now.leader is None and now.controller is None:
        return "leaderless", "There is no controller: the brokers race to write /controller."
    if now.controller is not None and now.controller > FIRST_ID:
        if not now.ids:
            return (
                "fine",
                f"No broker has a znode any more; controller {now.controller} still writes to ZooKeeper, so there is a way back.",
            )
        return (
            "warned",
            f"Controller {now.controller} decides now, and writes each change to ZooKeeper too.",
        )
    if now.leader is not None:
        return (
            "warned",
            f"Controller {now.leader} waits until every broker knows it; broker {now.controller} still decides.",
        )
    return "fine", f"ZooKeeper holds everything, and broker {now.controller} is the controller."


def _legend(top: float) -> Element:
    marks = (
        ("zookeeper", "by ZooKeeper", 2),
        ("follower", "both", 162),
        ("controller", "by the controllers", 262),
        ("leaderless", "away: it restarts", 452),
        ("down", "not there, or not known", 632),
    )
    return group(
        "legend",
        *(
            group(
                classes,
                box(0, 3, 28, 15, classes, 3),
                text(38, 16, words, "text soft small"),
                x=x,
            )
            for classes, words, x in marks
        ),
        y=top,
    )

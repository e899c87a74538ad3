"""How a consumer group is drawn: a lane for each partition, a card for each member."""

from __future__ import annotations

from collections.abc import Iterator

from brokerlab.widgets.assignment_facts import Assignment, Card
from brokerlab.widgets.assignment_history import REBALANCING, STABLE, Hold
from brokerlab.widgets.figures import HEIGHT, Figure, figures
from brokerlab.widgets.scene import (
    Element,
    box,
    button,
    element,
    group,
    icon,
    picture,
    shortened,
    text,
    width_of,
)
from brokerlab.widgets.style import SERIES
from brokerlab.widgets.timeline import LANE, Lane, Stretch, timeline, timeline_height

WIDTH = 880
SECONDS = 40.0
"""How much of the past the lanes show."""

MOST_LANES = 8
NAMES = 232
HEAD = 34
CARD, CARD_GAP, COLUMNS, ROWS = 48, 6, 2, 4
CARD_WIDTH = (WIDTH - 4 - 2 * CARD_GAP) / COLUMNS
FOOT = 24
BUTTON, BUTTON_GAP = 58, 4

GROUP_STATES = {
    STABLE: ("stable", "zookeeper"),
    **dict.fromkeys(REBALANCING, ("rebalancing", "frozen")),
    "EMPTY": ("empty", "down"),
    "DEAD": ("no group yet", "down"),
}
"""State of a group -> its word, the class of its bar."""

UNKNOWN = ("not known", "warned")

PROCESS_MARKS = {
    "running": ("dot", "zookeeper-ink"),
    "paused": ("bars", "paused-ink"),
    "closed": ("square", "soft"),
    "killed": ("cross", "alarm-ink"),
    "failed": ("cross", "alarm-ink"),
}
"""State of a process -> its mark and the mark's class; the same as for brokers."""

STRANGER = "node"
"""Class of a member that was not started here."""

VERBS = {"running": ("close", "kill", "pause"), "paused": ("resume", "kill")}
CALLS = {"close": "close_member"}


class AssignmentPicture:
    """One picture of one look; its height depends on the lanes asked for, never on the look."""

    def __init__(self, seen: Assignment, lanes: int, variable: str, busy: frozenset[int]) -> None:
        self.seen = seen
        self.lanes = lanes
        self.variable = variable
        self.busy = busy
        self.numbers = {card.name: card.number for card in seen.cards}
        self.gone = {card.name for card in seen.cards if not card.alive}
        self.lanes_top = HEIGHT + HEAD + 10
        self.members_top = self.lanes_top + timeline_height(lanes + 1) + 8
        self.cards_top = self.members_top + HEAD + 2
        self.foot_top = self.cards_top + ROWS * (CARD + CARD_GAP)

    def picture(self) -> Element:
        return picture(
            WIDTH,
            self.foot_top + FOOT,
            f"Consumer group {self.seen.group.group} on {self.seen.topic}. {self._summary()}",
            self._figures(),
            self._legend(),
            self._lanes(),
            self._owners(),
            self._members(),
            group("cards", *self._cards(), y=self.cards_top),
            text(4, self.foot_top + 16, self._foot(), "text soft small", key="foot"),
        )

    # What to read from the back of the room

    def _figures(self) -> Element:
        seen = self.seen
        known = seen.group.state is not None
        idle = len(seen.idle)
        since, lasted = seen.rebalancing_since, seen.rebalances
        last = Figure("last rebalance", f"{lasted[-1]:.1f} s" if lasted else "–")
        if since is not None:
            last = Figure("rebalancing", f"{seen.taken - since:.1f} s", "waiting")
        return figures(
            [
                Figure("members", str(len(seen.group.members)) if known else "–"),
                Figure("idle", str(idle) if known else "–", "waiting" if idle else "plain"),
                last,
                Figure("longest one", f"{max(lasted):.1f} s" if lasted else "–"),
                Figure("longest unread", f"{seen.unread:.1f} s" if lasted else "–"),
            ],
            width=WIDTH - 4,
            y=2,
        )

    def _foot(self) -> str:
        seen = self.seen
        if seen.group.problem:
            return shortened(f"Not known now: {seen.group.problem}.", WIDTH - 8, 15)
        strangers = [m.client for m in seen.group.members if m.client not in self.numbers]
        if strangers:
            names = ", ".join(strangers)
            return shortened(f"Members that were not started here: {names}", WIDTH - 8, 15)
        if seen.group.state is not None and not seen.group.spans:
            return f"No partition of {seen.topic} is known: is there such a topic?"
        count = len(seen.rebalances)
        return (
            f"{count} rebalance{'' if count == 1 else 's'}, to 0.2 s: from not stable to every partition owned. "
            "Unread: no living member has it."
        )

    # Partitions

    def _legend(self) -> Element:
        marks = [
            (_chip("series-1", "1"), "member 1 owns it"),
            (_chip("series-1", "1", pale=True), "rebalancing: 1 reads on"),
            (box(0, 0, 28, 24, "out-of-sync", 5), "its owner is dead"),
            (element("path", "rule", d="M0 12H28"), "nobody"),
        ]
        x, parts = float(WIDTH), []
        for mark, words in reversed(marks):
            x -= width_of(words, 15) + 50
            parts.append(group(words, mark, text(34, 17, words, "text soft small"), x=x, y=4))
        heading = text(4, 23, "Partitions", "heading")
        return group("legend", heading, *reversed(parts), y=HEIGHT + 8)

    def _lanes(self) -> Element:
        seen = self.seen
        lanes = [
            Lane(
                "the group",
                tuple(
                    Stretch(phase.begin, phase.end, bar, words)
                    for phase in seen.phases
                    for words, bar in [GROUP_STATES.get(phase.state, UNKNOWN)]
                ),
            ),
            *(
                Lane(f"partition {number}", tuple(self._held(number)))
                for number in range(self.lanes)
            ),
        ]
        return timeline(
            lanes, seen.taken, SECONDS, width=WIDTH - 8, names=NAMES, x=4, y=self.lanes_top
        )

    def _held(self, number: int) -> Iterator[Stretch]:
        for hold in self.seen.holds:
            if hold.partition != number:
                continue
            name = str(self.numbers.get(hold.member, hold.member))
            if hold.how == "dead":
                yield Stretch(hold.begin, hold.end, "out-of-sync", f"{name} is dead", "alarm-ink")
            else:
                pale, ink = ("", "on-series") if hold.how == "assigned" else (" dim", "text")
                bar = self._series(hold.member) + pale
                yield Stretch(hold.begin, hold.end, bar, name, ink)

    def _owners(self) -> Element:
        spans = {s.partition: s for s in self.seen.group.spans if s.topic == self.seen.topic}
        rows = [text(92, 24, self._state(), "text strong small", key="state")]
        for number in range(self.lanes):
            span = spans.get(number)
            lag = f"lag {span.lag:,}" if span and span.lag is not None else "lag –"
            rows.append(
                group(
                    f"owner-{number}",
                    self._owner(number),
                    text(NAMES - 10, 24, lag if span else "", "text soft small end"),
                    y=(number + 1) * LANE,
                )
            )
        hidden = len(spans) - self.lanes
        if hidden > 0:
            words = f"and {hidden} more partitions: make the board again"
            rows.append(text(NAMES - 10, 24, words, "text soft small", key="hidden"))
        return group("owners", *rows, x=4, y=self.lanes_top)

    def _owner(self, number: int) -> Element:
        owner = self.seen.group.owner(self.seen.topic, number)
        label = f"partition {number}: {owner.client if owner else 'no owner'}"
        kept = next((h for h in self.seen.holds if self._keeps(h, number)), None)
        if self.seen.group.state is None:
            mark = text(0, 17, "not known", "text soft small")
        elif owner is None and kept is not None:
            mark = self._chip(kept.member, pale=True)
        elif owner is None:
            mark = text(0, 17, "nobody", "text soft small")
        elif owner.client in self.gone:
            frame = box(0, 0, 28, 24, "out-of-sync", 5)
            mark = group("dead", frame, text(14, 17, self._short(owner.client), "alarm-ink middle"))
        else:
            mark = self._chip(owner.client)
        return group(
            "chip",
            element("title", "", label),
            mark,
            x=92,
            y=7,
            role="img",
            aria_label=label,
            data_partition=str(number),
            data_owner=owner.client if owner else "",
        )

    @staticmethod
    def _keeps(hold: Hold, number: int) -> bool:
        return (hold.partition, hold.how, hold.end) == (number, "kept", None)

    # Members

    def _members(self) -> Element:
        return group(
            "members",
            text(4, 24, "Members", "heading"),
            text(
                276,
                23,
                "each a process of its own; what it has read it says itself",
                "text soft small",
            ),
            button(
                "add a member",
                {"kind": "add"},
                f"{self.variable}.add()",
                x=120,
                y=2,
                width=140,
                group_name="members",
            ),
            y=self.members_top,
        )

    def _cards(self) -> Iterator[Element]:
        for place in range(ROWS * COLUMNS):
            x = 2 + (place % COLUMNS) * (CARD_WIDTH + 2 * CARD_GAP)
            y = (place // COLUMNS) * (CARD + CARD_GAP)
            if place < len(self.seen.cards):
                yield self._card(self.seen.cards[place], x, y)
            else:
                words = (
                    "no member yet: press add a member" if not (place or self.seen.cards) else ""
                )
                yield group(
                    f"free-{place}",
                    box(0, 0, CARD_WIDTH, CARD, "shade"),
                    text(16, 29, words, "text soft small"),
                    x=x,
                    y=y,
                )

    def _card(self, card: Card, x: float, y: float) -> Element:
        verbs = VERBS.get(card.state, ())
        left = CARD_WIDTH - 8 - len(verbs) * (BUTTON + BUTTON_GAP) + BUTTON_GAP
        idle = card.alive and card.name in self.seen.idle
        mark, ink = ("ring", "soft") if idle else PROCESS_MARKS[card.state]
        words = self._words(card)
        frame = self._frame(card, idle)
        read = f"{card.name} · {card.records:,} read"
        return group(
            card.name,
            element("title", "", f"{card.name} ({card.assignor}): {words}"),
            box(0, 0, CARD_WIDTH, CARD, frame),
            group("chip", self._card_chip(card), x=12, y=12),
            text(52, 21, shortened(read, left - 56, 15), "text strong small"),
            icon(mark, 52, 26, ink, 0.9),
            text(72, 39, shortened(words, left - 76, 15), "text small"),
            *(
                self._button(card, verb, left + i * (BUTTON + BUTTON_GAP))
                for i, verb in enumerate(verbs)
            ),
            x=x,
            y=y,
            data_member=card.name,
            data_state=card.state,
            data_words=words,
        )

    def _frame(self, card: Card, idle: bool) -> str:
        if not card.alive:
            return "down"
        return "frozen" if card.state == "paused" else "shade" if idle else "node"

    def _button(self, card: Card, verb: str, x: float) -> Element:
        return button(
            verb,
            {"kind": verb, "number": card.number},
            f"{self.variable}.{CALLS.get(verb, verb)}({card.number})",
            x=x,
            y=9,
            width=BUTTON,
            group_name=card.name,
            label=f"{verb} {card.name}",
            enabled=card.number not in self.busy,
        )

    def _words(self, card: Card) -> str:
        group = self.seen.group
        joined = any(member.client == card.name for member in group.members)
        share = " ".join(map(str, self.seen.partitions(card.name)))
        if not card.alive:
            words = f"ended, exit code {card.exit_code}: {card.said}"
            words = card.state if card.state != "failed" else words
            unread = f": {share} unread" if share else ""
            return f"{words}, its session goes on{unread}" if joined else words
        if card.state == "paused":
            return f"frozen, owns {share}" if share else "frozen"
        if group.state is None:
            return "running"
        if not joined:
            others = {c.assignor for c in self.seen.cards if c.name in self.seen.shares}
            if others and card.assignor not in others:
                return f"not in: group uses {', '.join(sorted(others))}"
            return f"joining … {card.said}"
        if group.state == STABLE:
            return f"owns {share}" if share else "idle: nothing to read"
        keeps = " ".join(map(str, card.keeps))
        return f"waiting, reads {keeps}" if keeps else "waiting"

    # Marks

    def _series(self, name: str) -> str:
        number = self.numbers.get(name)
        return STRANGER if number is None else f"series-{(number - 1) % SERIES + 1}"

    def _short(self, name: str) -> str:
        return str(self.numbers.get(name, "?"))

    def _chip(self, name: str, *, pale: bool = False) -> Element:
        return _chip(self._series(name), self._short(name), pale=pale)

    def _card_chip(self, card: Card) -> Element:
        if card.alive:
            return self._chip(card.name, pale=card.name in self.seen.idle)
        number = text(14, 17, str(card.number), "text soft middle")
        return group("mark", box(0, 0, 28, 24, "down", 5), number)

    def _summary(self) -> str:
        seen = self.seen
        shares = ", ".join(
            f"{name} {' '.join(map(str, share)) or 'idle'}" for name, share in seen.shares.items()
        )
        return f"{self._state()}. {shares or 'No members'}."

    def _state(self) -> str:
        return GROUP_STATES.get(self.seen.group.state or "", UNKNOWN)[0]


def _chip(classes: str, words: str, *, pale: bool = False) -> Element:
    ink = "text" if pale or classes == STRANGER else "on-series"
    return group(
        "mark",
        box(0, 0, 28, 24, f"{classes} dim" if pale else classes, 5),
        text(14, 17, words, f"{ink} middle"),
    )

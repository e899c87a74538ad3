"""The exercise engine: asks for facts about the lab, with a deadline, and reports every one.

That an exercise has passed is kept on this machine (see `passes`), for the progress page; nothing is sent.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import TYPE_CHECKING, Any, ClassVar

from confluent_kafka import KafkaException
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError

from brokerlab.errors import BrokerLabError, NodeFailedError, NotPossibleError, SettingError
from brokerlab.exercises import passes
from brokerlab.exercises.cards import (
    NOT_ATTEMPTED,
    NOT_CHECKED,
    NOT_YET,
    PASSED,
    Card,
    Code,
    Content,
    Note,
)

if TYPE_CHECKING:
    from brokerlab.attached import AttachedLab

LAB_TROUBLE = (
    BrokerLabError,
    KafkaException,
    KazooException,
    KazooTimeoutError,
    ConnectionError,
    TimeoutError,
    subprocess.TimeoutExpired,
)
ATTEMPT_SETTLES = 1.0
ASK_AGAIN_AFTER = 0.2


@dataclass(frozen=True)
class Fact:
    """One thing that must hold, as it was found.

    Attributes
    ----------
    text : str
        What must hold, for example ``"the topic photos has 3 partitions"``.
    ok : bool
        Whether it holds.
    advice : str
        Shown when it does not: the typical mistake, what was expected and seen, where to look.
    """

    text: str
    ok: bool
    advice: str


class Exercise:
    """What the author of an exercise writes: a subclass with a title, hints and two methods.

    Attributes
    ----------
    title : str
        A few words.
    hints : sequence of str
        From a nudge to nearly the answer.
    answer_type : type or None
        What ``check(answer)`` must be given; None when the cluster alone is checked.
    deadline : float
        Seconds after which a check gives up on the lab.
    patience : float
        Seconds for which facts that fail are asked again: metadata needs a moment to spread.
    """

    title: ClassVar[str]
    hints: ClassVar[Sequence[str]]
    answer_type: ClassVar[type | None] = None
    deadline: ClassVar[float] = 10.0
    patience: ClassVar[float] = 3.0

    def attempted(self, lab: Any, answer: Any) -> bool:
        """Tell whether the learner has begun."""
        raise NotImplementedError

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        """Yield what must hold, in the order in which a learner would look at it."""
        raise NotImplementedError


def demand_whole(lab: Any) -> None:
    """Refuse to check while a node is down.

    Raises
    ------
    NodeFailedError
        One is; the sentence names all that are.
    """
    down = [node["name"] for node in lab.status()["nodes"] if node["state"] != "running"]
    if down:
        raise NodeFailedError(
            f"This check needs every node, and {' and '.join(down)} is down: lab.repair() brings it back."
        )


@dataclass(frozen=True, repr=False)
class Report(Card):
    """What a check found.

    Attributes
    ----------
    heading : str
        Number and title of the exercise.
    status : str
        ``"not attempted"``, ``"not yet"`` or ``"passed"``.
    facts : tuple of Fact
        Every fact that was found, those that hold too.
    note : str
        A sentence for the learner when there is more to say, else empty.
    """

    heading: str
    status: str
    facts: tuple[Fact, ...] = ()
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether every fact holds."""
        return self.status == PASSED

    def card(self) -> Content:
        lines = [("✓" if f.ok else "✗", f.text, "" if f.ok else f.advice) for f in self.facts]
        return self.heading, self.status, lines + ([("", self.note, "")] if self.note else [])


class Question(Card):
    """One exercise of a lesson, bound to a lab: `check`, `hint`, `solution`."""

    def __init__(self, lesson: str, number: int, exercise: Exercise, lab: Any) -> None:
        self._lesson, self._number, self._exercise, self._lab = lesson, number, exercise, lab
        self._hints_given = 0
        self.heading = f"Exercise {number} · {exercise.title}"
        self.status = NOT_CHECKED

    def check(self, answer: Any = None) -> Report:
        """Ask the lab whether the exercise is done; the answer is for exercises that ask for one.

        Returns
        -------
        Report
            Every fact with ✓ or ✗, or one sentence when the lab did not answer within the
            exercise's deadline (10 s unless it says otherwise).
        """
        report = self._early(answer) or self._ask(answer)
        self.status = report.status
        return self._kept(report) if report.passed else report

    def assert_passed(self, answer: Any = None) -> Report:
        """Check, and raise AssertionError with the report when it is not passed."""
        report = self.check(answer)
        if not report.passed:
            raise AssertionError(repr(report))
        return report

    def hint(self, number: int | None = None) -> Note:
        """Give the next hint, or hint `number`."""
        hints = self._exercise.hints
        if number is None:
            self._hints_given = min(self._hints_given + 1, len(hints))
            number = self._hints_given
        if not isinstance(number, int) or not 1 <= number <= len(hints):
            raise SettingError(
                f"{self.heading} has hints 1 to {len(hints)}: ask for one of these, or call hint()."
            )
        last = f" There is no further hint: q[{self._number}].solution() shows one way."
        return Note(
            f"Hint {number} of {len(hints)}",
            hints[number - 1] + (last if number == len(hints) else ""),
        )

    def solution(self) -> Code | Note:
        """Show one solution, as it stands in the solutions notebook."""
        file = resources.files("brokerlab.exercises") / "solutions.json"
        known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        code = known.get(self._lesson, {}).get(str(self._number))
        if code is None:
            return Note(
                self.heading, f"Its solution is in notebooks/solutions/{self._lesson}.ipynb."
            )
        return Code(code)

    def card(self) -> Content:
        verbs = (
            f"q[{self._number}].check() · q[{self._number}].hint() · q[{self._number}].solution()"
        )
        return self.heading, self.status, [("", verbs, "")]

    def _report(self, status: str, facts: Iterable[Fact] = (), note: str = "") -> Report:
        return Report(self.heading, status, tuple(facts), note)

    def _kept(self, report: Report) -> Report:
        """Keep the pass for the progress page; where that is impossible, the report says so."""
        try:
            passes.record(self._lesson, self._number)
        except BrokerLabError as trouble:
            return replace(report, note=f"The progress page will not show this. {trouble}")
        return report

    def _early(self, answer: Any) -> Report | None:
        """Report what can be said without asking the lab."""
        if self._lab is None:
            return self._report(NOT_ATTEMPTED, note=_START_FIRST)
        wanted = self._exercise.answer_type
        if wanted is None:
            if answer is None:
                return None
            return self._report(
                NOT_YET,
                note="This exercise is checked on the cluster: call check() without an answer.",
            )
        if answer is None or answer is ...:
            return self._report(
                NOT_ATTEMPTED,
                note=f"Give your answer to the check: check(answer), {_kind(wanted)}.",
            )
        if not isinstance(answer, wanted) or (isinstance(answer, bool) and wanted is not bool):
            return self._report(
                NOT_YET,
                note=f"The answer must be {_kind(wanted)}, and it is {_kind(type(answer))}.",
            )
        return None

    def _ask(self, answer: Any) -> Report:
        """Ask the lab in a thread of its own, so that a lab that hangs cannot hang the notebook."""
        seen: list[Fact] = []
        found: list[Report | BaseException] = []
        given_up = threading.Event()

        def work() -> None:
            try:
                found.append(self._settle(answer, seen, given_up))
            except BaseException as bug:
                found.append(bug)

        worker = threading.Thread(target=work, name=f"check-{self._number}", daemon=True)
        worker.start()
        try:
            worker.join(self._exercise.deadline)
        finally:
            given_up.set()
        if not found:
            limit = f"The lab did not answer within {self._exercise.deadline:g} s"
            return self._report(NOT_YET, tuple(seen), f"{limit}: {_LOOK}")
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]

    def _settle(self, answer: Any, seen: list[Fact], given_up: threading.Event) -> Report:
        """Ask until the facts hold or patience is over; `seen` holds the latest round."""
        begun = time.monotonic()
        while True:
            report = self._round(answer, seen)
            patience = self._exercise.patience
            if report.status == NOT_ATTEMPTED:
                patience = min(patience, ATTEMPT_SETTLES)
            over = time.monotonic() - begun >= patience
            if report.passed or over or given_up.wait(ASK_AGAIN_AFTER):
                return report

    def _round(self, answer: Any, seen: list[Fact]) -> Report:
        seen.clear()
        try:
            if not hasattr(self._lab, "state"):
                wanted = (
                    f'load("{self._lesson}", lab) needs the lab that brokerlab.start() returned'
                )
                given = f"it was given {_kind(type(self._lab))}"
                return self._report(NOT_ATTEMPTED, note=f"{wanted}, and {given}.")
            if self._lab.state == "stopped":
                return self._report(NOT_ATTEMPTED, note=_START_FIRST)
            if not self._exercise.attempted(self._lab, answer):
                return self._report(NOT_ATTEMPTED, note=f"q[{self._number}].hint() gives a start.")
            for fact in self._exercise.facts(self._lab, answer):
                seen.append(fact)  # noqa: PERF402 - kept when the next one raises or hangs
        except LAB_TROUBLE as trouble:
            return self._report(NOT_YET, seen, _sentence(trouble))
        if not seen:
            raise RuntimeError(f"{type(self._exercise).__name__}.facts() yielded no fact.")
        return self._report(PASSED if all(fact.ok for fact in seen) else NOT_YET, seen)


class Questions(Card):
    """The exercises of a lesson, by number from 1; shows their states."""

    def __init__(self, lesson: str, exercises: Sequence[Exercise], lab: Any) -> None:
        self._lesson = lesson
        self._questions = [Question(lesson, n, e, lab) for n, e in enumerate(exercises, 1)]

    def __getitem__(self, number: int) -> Question:
        if not isinstance(number, int) or not 1 <= number <= len(self):
            raise SettingError(
                f"Lesson {self._lesson} has exercises 1 to {len(self)}: there is no {number!r}."
            )
        return self._questions[number - 1]

    def __iter__(self) -> Iterator[Question]:
        return iter(self._questions)

    def __len__(self) -> int:
        return len(self._questions)

    def card(self) -> Content:
        lines = [("", f"{question.heading}: {question.status}", "") for question in self]
        return f"Exercises of lesson {self._lesson}", "", lines


def lessons() -> list[str]:
    """Return the names of the lessons that have exercises, in order."""
    package = importlib.import_module("brokerlab.exercises")
    modules = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return [name.removeprefix("lesson_") for name in modules if name.startswith("lesson_")]


def load(lesson: str, lab: Any) -> Questions:
    """Load the exercises of a lesson.

    Parameters
    ----------
    lesson : str
        The lesson's name, for example ``"04_topics"``.
    lab : Lab or None
        What `brokerlab.start` returned. With None or a stopped lab each check says to start it.

    Raises
    ------
    SettingError
        There is no such lesson; the sentence names those that there are.
    NotPossibleError
        The lab is on a cluster that exists, and the lesson needs more than can be had there.
    """
    known = lessons()
    if lesson not in known:
        raise SettingError(
            f"There is no lesson {lesson!r} with exercises: load one of {', '.join(known)}."
        )
    module = importlib.import_module(f"brokerlab.exercises.lesson_{lesson}")
    # An attached lab alone has a prefix. To import its class for this would make every lesson's first cell wait.
    if getattr(lab, "prefix", ""):
        _demand_possible(lesson, getattr(module, "OWN_LAB", ""), lab)
    return Questions(lesson, module.EXERCISES, lab)


def _demand_possible(lesson: str, why: str, lab: AttachedLab) -> None:
    """Say at once when a lesson cannot be taken on a cluster that exists."""
    number = lesson.partition("_")[0]
    if why:
        raise NotPossibleError(
            f"Lesson {number} {why}, so it needs a lab of your own: lab = brokerlab.start(runtime='local') starts one on this machine, as lessons 03 and 16 do by themselves; on this cluster you can take lessons 04, 05 and 06."
        )
    if not lab.capabilities.can_create_topics:
        raise NotPossibleError(f"Lesson {number} creates topics, and {lab.why_no_topics()}")


_START_FIRST = "Start the lab first: lab = brokerlab.start(), then load the exercises again."
_LOOK = "is a broker down? lab.status() tells."


def _sentence(trouble: BaseException) -> str:
    if isinstance(trouble, BrokerLabError):
        return str(trouble)
    name = type(trouble).__name__
    if isinstance(trouble, KafkaException) and trouble.args and hasattr(trouble.args[0], "name"):
        name = trouble.args[0].name()
    return f"The lab did not answer ({name}): {_LOOK}"


def _kind(kind: type) -> str:
    name = kind.__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"

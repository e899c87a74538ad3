"""The exercise engine, with labs that are not there."""

import html
import json
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import brokerlab.exercises
import pytest
from brokerlab.errors import NoLabError, SettingError
from brokerlab.exercises import Exercise, Fact, load, passes
from confluent_kafka import KafkaError, KafkaException
from kazoo.exceptions import SessionExpiredError
from kazoo.handlers.threading import KazooTimeoutError

TOPIC = """
from brokerlab.exercises import Exercise, Fact


class Topic(Exercise):
    title = "Create the topic `photos`"
    hints = ("Which tool makes topics?", "Look at --partitions.")
    patience = 0.5

    def attempted(self, lab, answer):
        return lab.topics is not None

    def facts(self, lab, answer):
        yield Fact("the topic photos exists", "photos" in lab.topics, "Seen: no such topic.")
        seen = lab.topics.get("photos")
        yield Fact("it has 3 partitions", seen == 3, f"Expected 3, seen {seen}: <--partitions>.")


class Count(Exercise):
    title = "Count"
    hints = ("Count.",)
    answer_type = int
    patience = 0.5

    def attempted(self, lab, answer):
        return True

    def facts(self, lab, answer):
        yield Fact("the count is right", answer == 100, f"Expected 100, given {answer}.")


EXERCISES = [Topic(), Count()]
"""


def lab(topics=None, state="running"):
    return SimpleNamespace(
        client={"bootstrap.servers": "localhost:9092"},
        zookeeper_connect="localhost:2181",
        state=state,
        topics=topics,
    )


@pytest.fixture(autouse=True)
def lesson(tmp_path, monkeypatch):
    monkeypatch.setenv("BROKERLAB_HOME", str(tmp_path / "home"))
    (tmp_path / "lesson_98_toy.py").write_text(TOPIC, encoding="utf-8")
    monkeypatch.setattr(
        brokerlab.exercises, "__path__", [*brokerlab.exercises.__path__, str(tmp_path)]
    )
    yield tmp_path
    sys.modules.pop("brokerlab.exercises.lesson_98_toy", None)


@pytest.fixture
def ask(monkeypatch, lesson):
    """Ask an exercise whose facts are the given function, with short waits."""

    def ask(facts, attempted=lambda *_: True, deadline=2.0, patience=0.3):
        module = lesson / "lesson_97_one.py"
        module.write_text("EXERCISES = []", encoding="utf-8")
        one = type("One", (Exercise,), {"title": "One", "hints": ("Try.",)})
        one.facts = lambda self, lab, answer: facts(lab)
        one.attempted = lambda self, *args: attempted(*args)
        one.deadline, one.patience = deadline, patience
        questions = load("97_one", lab())
        sys.modules["brokerlab.exercises.lesson_97_one"].EXERCISES = [one()]
        questions = load("97_one", lab())
        return questions[1].check()

    yield ask
    sys.modules.pop("brokerlab.exercises.lesson_97_one", None)


def test_untouched_is_not_attempted_and_points_to_the_hint():
    report = load("98_toy", lab())[1].check()
    assert (report.status, report.passed, report.facts) == ("not attempted", False, ())
    assert "q[1].hint()" in repr(report)


def test_a_mistake_shows_every_fact_and_the_advice_of_those_that_fail():
    report = load("98_toy", lab({"photos": 1}))[1].check()
    assert repr(report) == (
        "Exercise 1 · Create the topic `photos`: not yet\n"
        "  ✓ the topic photos exists\n"
        "  ✗ it has 3 partitions\n"
        "      Expected 3, seen 1: <--partitions>."
    )


def test_both_facts_are_reported_when_both_fail():
    report = load("98_toy", lab({}))[1].check()
    assert [fact.ok for fact in report.facts] == [False, False]


def test_done_is_passed_without_advice():
    report = load("98_toy", lab({"photos": 3}))[1].check()
    assert report.passed and "Expected" not in repr(report) + report._repr_html_()


def test_html_says_it_in_words_escapes_and_follows_the_theme():
    shown = load("98_toy", lab({"photos": 1}))[1].check()._repr_html_()
    assert "not yet" in shown and "✓" in shown and "✗" in shown
    assert "<code>photos</code>" in shown and html.escape("<--partitions>") in shown
    assert "var(--jp-ui-font-color1, inherit)" in shown


def test_the_lesson_lists_its_exercises_with_their_states():
    questions = load("98_toy", lab({"photos": 3}))
    questions[1].check()
    assert repr(questions) == (
        "Exercises of lesson 98_toy\n"
        "  Exercise 1 · Create the topic `photos`: passed\n"
        "  Exercise 2 · Count: not checked yet"
    )
    assert len(questions) == len(list(questions)) == 2
    assert "q[2].hint()" in repr(questions[2])


def test_representations_are_the_same_every_time():
    def shown():
        questions = load("98_toy", lab({"photos": 1}))
        things = [questions, questions[1], questions[1].check(), questions[1].hint()]
        return [repr(thing) + thing._repr_html_() for thing in things]

    assert shown() == shown()


def test_a_pass_is_kept_and_what_did_not_pass_is_not():
    load("98_toy", lab({"photos": 1}))[1].check()
    load("98_toy", lab())[2].check(99)
    assert passes.read() == passes.Passes({})
    load("98_toy", lab({"photos": 3}))[1].check()
    load("98_toy", lab())[2].assert_passed(100)
    assert list(passes.read().times) == [("98_toy", 1), ("98_toy", 2)]


def test_a_pass_that_cannot_be_kept_passes_and_says_so(lesson):
    (lesson / "home").write_text("a file where the folder should be")
    report = load("98_toy", lab({"photos": 3}))[1].check()
    assert report.passed and "The progress page will not show this." in repr(report)
    assert "set BROKERLAB_HOME to a folder that you may write" in report._repr_html_()


def test_assert_passed_raises_with_the_report():
    questions = load("98_toy", lab({"photos": 1}))
    with pytest.raises(AssertionError, match="Expected 3, seen 1"):
        questions[1].assert_passed()
    assert load("98_toy", lab({"photos": 3}))[1].assert_passed().passed


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (None, "not attempted", "check(answer), an int"),
        (..., "not attempted", "check(answer), an int"),
        ("100", "not yet", "The answer must be an int, and it is a str."),
        (True, "not yet", "The answer must be an int, and it is a bool."),
        (99, "not yet", "Expected 100, given 99."),
        (100, "passed", "✓ the count is right"),
    ],
)
def test_answers(answer, status, said):
    report = load("98_toy", lab())[2].check(answer)
    assert report.status == status and said in repr(report)


def test_an_answer_where_none_is_asked_for():
    report = load("98_toy", lab({"photos": 3}))[1].check(3)
    assert not report.passed and "call check() without an answer" in repr(report)


@pytest.mark.parametrize("absent", [None, lab(state="stopped")])
def test_without_a_lab_it_says_to_start_one(absent):
    report = load("98_toy", absent)[1].check()
    assert not report.passed and "Start the lab first" in repr(report)


def test_another_object_as_the_lab_is_one_sentence():
    report = load("98_toy", "localhost:9092")[1].check()
    assert 'load("98_toy", lab) needs the lab' in repr(report) and "given a str" in repr(report)


def test_hints_come_one_by_one_and_by_number():
    question = load("98_toy", lab())[1]
    assert repr(question.hint()) == "Hint 1 of 2\n  Which tool makes topics?"
    assert repr(question.hint()).startswith("Hint 2 of 2\n  Look at --partitions.")
    assert "q[1].solution()" in repr(question.hint())
    assert repr(question.hint(1)) == "Hint 1 of 2\n  Which tool makes topics?"
    for wrong in (0, 3, "first"):
        with pytest.raises(SettingError, match="has hints 1 to 2"):
            question.hint(wrong)


def test_solution_is_the_code_of_the_solutions_notebook(monkeypatch, tmp_path):
    monkeypatch.setattr("brokerlab.exercises.engine.resources.files", lambda package: tmp_path)
    question = load("98_toy", lab())[1]
    assert "notebooks/solutions/98_toy.ipynb" in repr(question.solution())
    solutions = {"98_toy": {"1": "create('photos', 3)  # <3>"}}
    (tmp_path / "solutions.json").write_text(json.dumps(solutions), encoding="utf-8")
    assert repr(question.solution()) == "create('photos', 3)  # <3>"
    assert "&lt;3&gt;" in question.solution()._repr_html_()


@pytest.mark.parametrize("wrong", ["topics", "", None, 4, "../04"])
def test_an_unknown_lesson_is_one_sentence_with_the_known_ones(wrong):
    with pytest.raises(SettingError, match=r"no lesson .* with exercises: load one of .*98_toy"):
        load(wrong, lab())


@pytest.mark.parametrize("wrong", [0, 3, "1"])
def test_an_unknown_exercise_is_one_sentence(wrong):
    with pytest.raises(SettingError, match="has exercises 1 to 2: there is no"):
        load("98_toy", lab())[wrong]


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (KafkaException(KafkaError(KafkaError._TRANSPORT)), "did not answer (_TRANSPORT): is a"),
        (SessionExpiredError(), "did not answer (SessionExpiredError): is a broker down?"),
        (KazooTimeoutError("slow"), "did not answer (KazooTimeoutError)"),
        (TimeoutError(), "did not answer (TimeoutError)"),
        (subprocess.TimeoutExpired("kafka-topics.sh", 5), "did not answer (TimeoutExpired)"),
        (NoLabError("There is no lab: start one."), "There is no lab: start one."),
    ],
)
def test_trouble_of_the_cluster_is_one_sentence_in_place(ask, trouble, said):
    def facts(lab):
        yield Fact("the first holds", True, "")
        raise trouble

    report = ask(facts)
    assert report.status == "not yet" and said in repr(report)
    assert "✓ the first holds" in repr(report)


def test_a_lab_that_hangs_ends_at_the_deadline_with_what_was_seen(ask):
    never = threading.Event()

    def facts(lab):
        yield Fact("the first holds", True, "")
        never.wait(30)

    begun = time.monotonic()
    report = ask(facts, deadline=0.5)
    took = time.monotonic() - begun
    never.set()
    assert took < 15
    assert "did not answer within 0.5 s: is a broker down? lab.status() tells." in repr(report)
    assert "✓ the first holds" in repr(report) and not report.passed


def test_a_fact_that_comes_true_within_the_patience_passes(ask):
    asked = []

    def facts(lab):
        asked.append(1)
        yield Fact("it spread", len(asked) >= 3, "Not yet.")

    assert ask(facts, patience=5.0).passed and len(asked) == 3


def test_trouble_that_passes_within_the_patience_passes(ask):
    asked = []

    def facts(lab):
        asked.append(1)
        if len(asked) < 3:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        yield Fact("it answers", True, "")

    assert ask(facts, patience=5.0).passed


def test_work_that_has_not_spread_yet_counts_as_attempted(ask):
    asked = []

    def attempted(lab, answer):
        asked.append(1)
        return len(asked) >= 3

    assert ask(lambda lab: iter([Fact("it is", True, "")]), attempted, patience=5.0).passed


def test_a_bug_in_a_check_is_a_traceback_not_a_verdict(ask):
    with pytest.raises(ZeroDivisionError):
        ask(lambda lab: iter([Fact("", bool(1 / 0), "")]))
    with pytest.raises(RuntimeError, match="yielded no fact"):
        ask(lambda lab: iter([]))


def test_importing_the_engine_imports_no_lesson():
    code = "import sys, brokerlab.exercises; print([m for m in sys.modules if '.lesson_' in m])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"

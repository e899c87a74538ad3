from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from brokerlab.errors import BrokerLabError, NodeFailedError
from brokerlab.observe import Snapshot
from brokerlab.widgets import TwinConsoles
from widget_fakes import FakeLab, lost, notice, snapshot, until


class FakeTool:
    """A tool that runs until it is stopped; the consumer prints what the producer is told."""

    def __init__(self, argv: list[str], log: list[str]) -> None:
        self.argv = argv
        self.log = log
        self.running = True
        self.consumes = "consumer" in argv[0]
        self.own: tuple[str, ...] = ()
        self.callbacks: list[Callable[..., None]] = []

    @property
    def lines(self) -> tuple[str, ...]:
        return (*self.log, *self.own) if self.consumes else (">>", *self.own)

    def write(self, line: str) -> None:
        self.log.append(line)

    def subscribe(self, callback: Callable[..., None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def stop(self) -> None:
        self.running = False


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[FakeTool]:
    tools: list[FakeTool] = []
    log: list[str] = []

    def background(argv: list[str]) -> FakeTool:
        tools.append(FakeTool(argv, log))
        return tools[-1]

    monkeypatch.setattr("brokerlab.widgets.consoles.tools.background", background)
    return tools


@pytest.fixture
def make(
    monkeypatch: pytest.MonkeyPatch, started: list[FakeTool]
) -> Iterator[Callable[..., TwinConsoles]]:
    made: list[TwinConsoles] = []

    def one(topic: str = "photos", seen: Snapshot | None = None, **options: Any) -> TwinConsoles:
        monkeypatch.setattr("brokerlab.widgets.consoles.snapshot", lambda _: seen or snapshot())
        made.append(TwinConsoles(FakeLab(), topic, **options))
        return made[-1]

    yield one
    for view in made:
        view.close()


Make = Callable[..., TwinConsoles]


def test_what_is_typed_goes_through_the_real_tools(make: Make, started: list[FakeTool]) -> None:
    consoles = make(group="readers")
    consoles.type("hello")
    consoles.wait_for("hello", timeout=5)
    assert consoles.produced == ("hello",)
    assert consoles.received == ("hello",)
    server = ["--bootstrap-server", FakeLab.bootstrap_servers, "--topic", "photos"]
    assert [tool.argv for tool in started] == [
        ["kafka-console-producer.sh", *server],
        ["kafka-console-consumer.sh", *server, "--from-beginning", "--group", "readers"],
    ]


def test_the_terminals_show_the_real_command_and_the_lines(make: Make) -> None:
    consoles = make(from_beginning=False)
    consoles.type("one\ntwo")
    consoles.wait_for("two", timeout=5)
    assert until(lambda: len(consoles.state["view"]["producer"]["lines"]) == 2)
    producer, consumer = consoles.state["view"]["producer"], consoles.state["view"]["consumer"]
    assert producer["lines"] == [["typed", "one"], ["typed", "two"]], "prompts are not lines"
    assert consumer["lines"] == [["printed", "one"], ["printed", "two"]]
    assert consumer["command"] == (
        "kafka-console-consumer.sh --bootstrap-server 127.0.0.1:9092,127.0.0.1:9093,127.0.0.1:9094 --topic photos"
    )


def test_the_consumer_can_be_stopped_and_started(make: Make, started: list[FakeTool]) -> None:
    consoles = make()
    consoles.stop_consumer()
    assert until(lambda: consoles.state["view"]["consumer"]["state"] == "ended")
    assert consoles.state["view"]["producer"]["state"] == "running"
    consoles.type("meanwhile")
    consoles.start_consumer()
    consoles.wait_for("meanwhile", timeout=5)
    assert [tool.argv[0] for tool in started] == [
        "kafka-console-producer.sh",
        "kafka-console-consumer.sh",
        "kafka-console-consumer.sh",
    ]


def test_a_topic_that_does_not_exist_is_a_sentence_in_place(
    make: Make, started: list[FakeTool]
) -> None:
    consoles = make("fotos")
    sentence = "There is no topic 'fotos': create it with kafka-topics.sh --create, then press Start consumer."
    assert until(lambda: notice(consoles) == ("error", sentence))
    assert started == []
    with pytest.raises(BrokerLabError, match="There is no topic 'fotos'"):
        consoles.wait_for("hello", timeout=30)
    consoles.type("hello")
    assert until(lambda: consoles.pending == ())
    assert notice(consoles) == ("error", sentence)


def test_typing_starts_a_producer_that_does_not_run(make: Make, started: list[FakeTool]) -> None:
    consoles = make()
    assert until(lambda: len(started) == 2)
    started[0].running = False
    consoles.type("again")
    consoles.wait_for("again", timeout=5)
    assert [tool.argv[0] for tool in started].count("kafka-console-producer.sh") == 2


def test_a_lost_cluster_is_a_sentence_in_place(make: Make) -> None:
    consoles = make(seen=lost())
    assert until(lambda: notice(consoles)[1].startswith("The cluster does not answer. no broker"))


def test_wait_for_gives_up_with_a_sentence(make: Make) -> None:
    with pytest.raises(NodeFailedError, match=r"Waited 0\.2 s for the consumer to print 'nothing'"):
        make().wait_for("nothing", timeout=0.2)


def test_closing_stops_both_tools(make: Make, started: list[FakeTool]) -> None:
    consoles = make()
    assert until(lambda: len(started) == 2)
    consoles.close()
    assert [tool.running for tool in started] == [False, False]
    assert repr(consoles) == "<TwinConsoles photos>"


def test_the_still_is_a_picture_of_both(make: Make) -> None:
    consoles = make()
    consoles.type("a <b> & c")
    consoles.wait_for("a <b>", timeout=5)
    assert "a &lt;b&gt; &amp; c" in consoles.still()
    ET.fromstring(consoles.still())

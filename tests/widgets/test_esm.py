"""The views in a real browser, without Jupyter: a fake model, our module, and what the page shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import widget_fakes as fakes
from brokerlab.observe import Snapshot
from brokerlab.widgets import ClusterMap, TwinConsoles
from widget_fakes import FakeLab, FakeObserver, nodes, snapshot, topic

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser

THEMES = {
    "light": "--jp-layout-color1:#ffffff;--jp-ui-font-color0:rgba(0,0,0,1)",
    "dark": "--jp-layout-color1:#212121;--jp-ui-font-color0:rgba(255,255,255,1)",
}
RENDER = """async ([esm, state, pulse]) => {
  const module = await import(URL.createObjectURL(new Blob([esm], {type: "text/javascript"})));
  const data = {state, pulse}, heard = new Map();
  window.sent = [];
  window.model = {
    get: (name) => data[name],
    set: (name, value) => { data[name] = value; for (const f of heard.get("change:" + name) ?? []) f(); },
    on: (name, f) => { if (!heard.has(name)) heard.set(name, new Set()); heard.get(name).add(f); },
    off: (name, f) => heard.get(name)?.delete(f),
    send: (message) => window.sent.push(message),
    save_changes() {},
    listeners: () => [...heard.values()].reduce((n, s) => n + s.size, 0),
  };
  window.cleanup = module.default.render({model, el: document.getElementById("out")});
}"""


class Shown:
    """A view's module in a page, and the words that pass between the two."""

    def __init__(self, page: Any, view: Any, theme: str) -> None:
        self.page = page
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda m: m.type == "error" and self.errors.append(m.text))
        page.on("request", lambda r: r.url.startswith("http") and self.requests.append(r.url))
        light = "true" if theme == "light" else "false"
        page.set_content(
            f"<style>:root{{{THEMES[theme]}}}{view._css}</style>"
            f'<body data-jp-theme-light="{light}"><div id="out" style="width:848px"></div><p>below</p>'
        )
        page.evaluate(RENDER, [str(view._esm), view.state, {"n": 1, "age": 0}])

    def put(self, state: dict[str, Any]) -> None:
        self.page.evaluate("(state) => window.model.set('state', state)", state)

    def pulse(self, age: float) -> None:
        self.page.evaluate("(age) => window.model.set('pulse', {n: 2, age})", age)

    def sent(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.page.evaluate("window.sent")
        return messages

    def one(self, selector: str) -> Any:
        return self.page.locator(selector)


@pytest.fixture
def show(browser: Any) -> Iterator[Callable[..., Shown]]:
    pages: list[Shown] = []

    def one(view: Any, theme: str = "light", **options: Any) -> Shown:
        page = browser.new_page(viewport={"width": 1280, "height": 720}, **options)
        pages.append(Shown(page, view, theme))
        return pages[-1]

    yield one
    for shown in pages:
        shown.page.close()
        assert shown.errors == []
        assert shown.requests == [], "a view must work offline"


def drawn(seen: Snapshot, before: Snapshot | None = None, **options: Any) -> ClusterMap:
    """Return a closed-down map whose state shows `seen`."""
    observer = FakeObserver(before or seen)
    view = ClusterMap(FakeLab(), observer=observer, **options)
    observer.latest = seen
    view.close()
    view.state = view.state | {"ended": ""}
    return view


@pytest.fixture
def cluster(show: Callable[..., Shown]) -> Shown:
    return show(drawn(snapshot()))


def button(shown: Shown, node: str, kind: str) -> Any:
    return shown.one(f'[data-node="{node}"] [role=button][aria-label="{kind} {node}"]')


def fill(shown: Shown, selector: str) -> str:
    script = "(node) => getComputedStyle(node).fill"
    colour: str = shown.one(selector).first.evaluate(script)
    return colour


def test_leaders_and_followers_look_different(cluster: Shown) -> None:
    leader = '[data-node="broker-1"] [data-partition="photos-0"]'
    follower = '[data-node="broker-1"] [data-partition="photos-1"]'
    assert cluster.one(leader).get_attribute("aria-label") == "photos 0: leader"
    assert cluster.one(follower).get_attribute("aria-label") == "photos 1: follower, in sync"
    assert fill(cluster, f"{leader} rect") != fill(cluster, f"{follower} rect")


def test_a_chip_that_becomes_leader_stays_the_same_element(cluster: Shown) -> None:
    chip = cluster.one('[data-node="broker-3"] [data-partition="photos-1"]')
    chip.evaluate("(node) => { node.marked = true; }")
    assert chip.get_attribute("data-role") == "follower"
    cluster.put(drawn(fakes.broker_2_killed()).state)
    assert chip.get_attribute("data-role") == "leader"
    assert chip.evaluate("(node) => node.marked")


def test_a_dead_broker_shows_by_word_mark_and_broken_link(show: Callable[..., Shown]) -> None:
    shown = show(drawn(fakes.broker_2_killed()))
    assert "killed" in shown.one('[data-node="broker-2"]').text_content()
    assert shown.one('[data-link="broker-2"]').get_attribute("data-state") == "broken"
    assert shown.one('[data-node="broker-2"] .bl-hatch').count() == 3
    assert shown.one('[data-headline="warned"]').count() == 1


def test_the_controller_has_a_badge(cluster: Shown) -> None:
    assert cluster.one('[data-node="broker-1"] [data-badge="controller"]').is_visible()
    assert cluster.one('[data-badge="controller"]').count() == 1


def test_a_lost_cluster_shows_as_lost(show: Callable[..., Shown]) -> None:
    shown = show(drawn(fakes.lost(), before=snapshot()))
    assert shown.one(".bl-status").text_content().startswith("lost")
    assert "Cluster lost" in shown.one('[data-headline="lost"]').text_content()


def test_the_age_ticks_and_silence_shows(cluster: Shown) -> None:
    status = cluster.one(".bl-status")
    assert status.text_content() == "live, seen 0 s ago"
    expect(status).to_have_text("live, seen 1 s ago", timeout=5000)
    cluster.pulse(0)
    expect(status).to_have_text("live, seen 0 s ago")
    cluster.pulse(60)
    expect(status).to_have_text("no news for 60 s")
    assert cluster.one(".bl").get_attribute("data-status") == "stale"


def test_a_click_sends_a_command_once_and_waits_for_the_kernel(cluster: Shown) -> None:
    kill = button(cluster, "broker-2", "kill")
    kill.click()
    kill.click(force=True)
    assert cluster.sent() == [{"kind": "kill", "node": "broker-2"}]
    assert kill.get_attribute("aria-disabled") == "true"
    state = drawn(snapshot()).state
    cluster.put(state)
    assert kill.get_attribute("aria-disabled") == "true", "the kernel has not taken it yet"
    cluster.put(state | {"accepted": 1})
    assert kill.get_attribute("aria-disabled") is None


def test_show_code_tells_the_line_of_python(cluster: Shown) -> None:
    code = cluster.one(".bl-code")
    button(cluster, "broker-2", "kill").hover()
    assert code.text_content() == ""
    cluster.one(".bl-toggle").click()
    assert cluster.one(".bl-toggle").get_attribute("aria-pressed") == "true"
    button(cluster, "broker-2", "kill").hover()
    assert code.text_content() == "lab.brokers[2].kill()"
    button(cluster, "zookeeper", "pause").hover()
    assert code.text_content() == "lab.zookeeper.pause()"


def test_every_control_can_be_reached_and_pressed_by_keyboard(cluster: Shown) -> None:
    keyboard, reached = cluster.page.keyboard, []
    for _ in range(13):
        keyboard.press("Tab")
        reached.append(
            cluster.page.evaluate("document.activeElement.getAttribute('aria-label') ?? 'toggle'")
        )
    names = ["zookeeper", "broker-1", "broker-2", "broker-3"]
    assert reached == [
        "toggle",
        *(f"{verb} {name}" for name in names for verb in ("kill", "stop", "pause")),
    ]
    width = "getComputedStyle(document.activeElement).outlineWidth"
    assert cluster.page.evaluate(width) == "3px"
    keyboard.press("Enter")
    assert cluster.sent() == [{"kind": "pause", "node": "broker-3"}]
    keyboard.press("Shift+Tab")
    keyboard.press("Space")
    assert cluster.sent()[1] == {"kind": "stop", "node": "broker-3"}


def test_focus_stays_with_the_broker_when_its_buttons_change(cluster: Shown) -> None:
    button(cluster, "broker-2", "kill").focus()
    cluster.put(drawn(fakes.broker_2_killed()).state)
    label = "document.activeElement.getAttribute('aria-label')"
    assert cluster.page.evaluate(label) == "start broker-2"


def test_a_notice_shows_in_place(cluster: Shown) -> None:
    state = drawn(snapshot()).state
    sentence = "broker-1 did not stop within 15 s: kill it instead."
    cluster.put(state | {"notice": {"kind": "error", "text": sentence}})
    assert cluster.one(".bl-notice").text_content() == sentence
    assert cluster.one(".bl-notice").get_attribute("data-notice") == "error"


def test_an_ended_view_says_so_and_has_no_live_buttons(cluster: Shown) -> None:
    cluster.put(drawn(snapshot()).state | {"ended": "closed"})
    assert cluster.one(".bl-status").text_content() == "closed"
    button(cluster, "broker-2", "kill").click(force=True)
    assert cluster.sent() == []


def test_nothing_below_ever_moves(cluster: Shown) -> None:
    def top() -> float:
        place: float = cluster.one("p:text('below')").bounding_box()["y"]
        return place

    before = top()
    cases = [
        drawn(fakes.broker_2_killed()).state,
        drawn(fakes.lost(), before=snapshot()).state,
        drawn(snapshot(topics=(), events=())).state,
        drawn(snapshot(topics=tuple(topic(f"t{n}", 6) for n in range(12)))).state,
        drawn(snapshot(nodes=nodes(brokers=("running",) * 5))).state,
        drawn(snapshot()).state | {"notice": {"kind": "error", "text": "very long " * 60}},
    ]
    for state in cases:
        cluster.put(state)
        assert top() == before
    cluster.one(".bl-toggle").click()
    assert top() == before


@pytest.mark.parametrize("brokers", [1, 3, 5])
def test_words_stay_inside_their_boxes_and_are_large_enough(
    show: Callable[..., Shown], brokers: int
) -> None:
    running = ("running",) * (brokers - 1) + ("paused",)
    topics = (topic("recognised-objects-of-all-cameras", 12, brokers),)
    seen = snapshot(
        nodes=nodes(brokers=running), registered=tuple(range(1, brokers + 1)), topics=topics
    )
    shown = show(drawn(seen))
    outside = shown.page.evaluate(
        """() => [...document.querySelectorAll('[data-node]')].flatMap((node) => {
          const frame = node.querySelector('rect').getBoundingClientRect();
          return [...node.querySelectorAll('text')].filter((text) => {
            const box = text.getBoundingClientRect();
            return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1
              || box.top < frame.top - 1 || box.bottom > frame.bottom + 1);
          }).map((text) => text.textContent);
        })"""
    )
    assert outside == []
    smallest = shown.page.evaluate(
        """() => { const svg = document.querySelector('svg');
          const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
          return Math.min(...[...svg.querySelectorAll('text')].filter((t) => t.textContent)
            .map((t) => parseFloat(getComputedStyle(t).fontSize) * scale)); }"""
    )
    assert smallest >= 13.99


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_have_contrast_in_both_themes(show: Callable[..., Shown], theme: str) -> None:
    shown = show(drawn(fakes.broker_2_killed()), theme)
    pairs = [
        ("ink", "ground"),
        ("ink", "panel"),
        ("soft", "panel"),
        ("on-leader", "leader"),
        ("on-controller", "controller"),
        ("on-alarm", "alarm"),
        ("alarm", "ground"),
        ("zookeeper", "ground"),
        ("ink", "zookeeper-ground"),
        ("on-terminal", "terminal"),
        ("soft-terminal", "terminal"),
        ("typed", "terminal"),
    ]
    resolve = """(name) => { const probe = document.createElement('i');
      probe.style.color = `var(--bl-${name})`; document.querySelector('.bl').append(probe);
      const rgb = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map(Number);
      probe.remove(); return rgb; }"""
    for front, back in pairs:
        first, second = (luminance(shown.page.evaluate(resolve, name)) for name in (front, back))
        ratio = (max(first, second) + 0.05) / (min(first, second) + 0.05)
        assert ratio >= 4.5, f"{front} on {back} in {theme}: {ratio:.2f}"


def luminance(rgb: list[float]) -> float:
    """Return the relative luminance (WCAG 2) of a colour, 0 to 1."""
    linear = [
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
        for c in (value / 255 for value in rgb)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_nothing_moves_for_who_asked_for_less_motion(show: Callable[..., Shown]) -> None:
    duration = "(node) => getComputedStyle(node).transitionDuration"
    calm = show(drawn(snapshot()), reduced_motion="reduce")
    assert calm.one(".bl-picture rect").first.evaluate(duration) == "0s"
    lively = show(drawn(snapshot()), reduced_motion="no-preference")
    assert lively.one(".bl-picture rect").first.evaluate(duration) != "0s"


def test_a_topic_name_is_text_and_never_markup(show: Callable[..., Shown]) -> None:
    shown = show(drawn(snapshot(topics=(topic("<img src=x onerror=boom()>"),))))
    assert shown.one("img").count() == 0


def test_removing_the_view_ends_its_clock_and_listeners(cluster: Shown) -> None:
    assert cluster.page.evaluate("window.model.listeners()") == 2
    cluster.page.evaluate("window.cleanup()")
    assert cluster.page.evaluate("window.model.listeners()") == 0


@pytest.fixture
def consoles(show: Callable[..., Shown], monkeypatch: pytest.MonkeyPatch) -> Shown:
    monkeypatch.setattr("brokerlab.widgets.consoles.snapshot", lambda _: snapshot(topics=()))
    view = TwinConsoles(FakeLab(), "photos", group="readers")
    view.close()
    view.state = terminals(view.state, [["typed", "hello"]], [["printed", "hello"]])
    return show(view)


def terminals(
    state: dict[str, Any],
    typed: list[list[str]],
    printed: list[list[str]],
    running: str = "running",
) -> dict[str, Any]:
    view = state["view"]
    shown = {
        "producer": view["producer"] | {"lines": typed, "state": "running"},
        "consumer": view["consumer"] | {"lines": printed, "state": running},
    }
    return state | {"view": shown, "ended": "", "notice": {"kind": "none", "text": ""}}


def console_state(shown: Shown) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(shown.page.evaluate("JSON.stringify(model.get('state'))"))
    return state


def test_the_terminals_show_the_command_lines_and_what_passed(consoles: Shown) -> None:
    command = consoles.one("[data-pane=consumer] .bl-command").text_content()
    assert command.startswith("$ kafka-console-consumer.sh --bootstrap-server 127.0.0.1:9092")
    assert command.endswith("--from-beginning --group readers")
    for pane in ("producer", "consumer"):
        whole = "(node) => node.scrollHeight <= node.clientHeight"
        assert consoles.one(f"[data-pane={pane}] .bl-command").evaluate(whole), "it is cut off"
    assert consoles.one("[data-pane=producer] [data-line=typed]").all_text_contents() == ["hello"]
    assert consoles.one("[data-pane=consumer] [data-line=printed]").all_text_contents() == ["hello"]


def test_enter_sends_the_line_and_empties_the_field(consoles: Shown) -> None:
    field = consoles.one("input")
    consoles.one(".bl-toggle").click()
    field.fill('say "hi"')
    assert consoles.one(".bl-code").text_content() == 'consoles.type("say \\"hi\\"")'
    field.press("Enter")
    assert consoles.sent() == [{"kind": "type", "text": 'say "hi"'}]
    assert field.input_value() == ""


def test_what_is_being_typed_survives_an_update(consoles: Shown) -> None:
    consoles.one("input").press_sequentially("half a li")
    state = console_state(consoles)
    consoles.put(terminals(state, [["typed", "x"]], [["printed", "x"], ["printed", "y"]]))
    assert consoles.one("input").input_value() == "half a li"
    assert consoles.page.evaluate("document.activeElement.tagName") == "INPUT"


def test_the_consumers_button_stops_and_starts_it(consoles: Shown) -> None:
    consoles.one("button:text('Stop consumer')").click()
    state = console_state(consoles)
    consoles.put(terminals(state | {"accepted": 1}, [], [], running="ended"))
    consoles.one("button:text('Start consumer')").click()
    assert consoles.sent() == [{"kind": "stop"}, {"kind": "start"}]


def test_a_long_log_scrolls_to_its_end_and_the_page_stays(consoles: Shown) -> None:
    before = consoles.one("p:text('below')").bounding_box()
    lines = [["printed", f"line {n}"] for n in range(150)]
    consoles.put(terminals(console_state(consoles), [], lines))
    assert consoles.one("p:text('below')").bounding_box() == before
    log = consoles.one("[data-pane=consumer] .bl-log")
    assert log.evaluate(
        "(n) => n.scrollTop > 0 && n.scrollTop + n.clientHeight > n.scrollHeight - 4"
    )
    log.evaluate("(n) => { n.scrollTop = 0; }")
    consoles.put(terminals(console_state(consoles), [], [*lines, ["printed", "one more"]]))
    assert log.evaluate("(n) => n.scrollTop") == 0, "who reads back is left in peace"

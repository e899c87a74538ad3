"""tests/run.py: what it leaves out, what it says, and when it fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import lanes
import pytest
from witnesses import until

RUN = Path(__file__).with_name("run.py")
MARKED = """
import pytest
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnknownMarkWarning")

def test_plain(): pass

@pytest.mark.browser
def test_browser(): pass

@pytest.mark.skip(reason="it rains")
def test_skipped(): pass
"""


@pytest.fixture
def run(tmp_path):
    def run(text, *arguments, **environ):
        (tmp_path / "test_toy.py").write_text(text, encoding="utf-8")
        command = [sys.executable, RUN, "-c", os.devnull, "--rootdir", tmp_path, "--color=no"]
        return subprocess.run(
            [*command, "-p", "no:cacheprovider", tmp_path / "test_toy.py", *arguments],
            env=os.environ | {"PATH": "/nowhere", "CI": ""} | environ,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def test_what_cannot_run_is_left_out_with_its_reason_and_pytest_has_the_last_count(run):
    done = run(MARKED)
    assert done.returncode == 0, done.stdout
    assert "1 marked browser: no chromium is on PATH" in done.stdout
    assert "1 skipped: it rains" in done.stdout
    *_, closing, last = done.stdout.strip().splitlines()
    assert "1 passed, 1 skipped, 1 deselected" in closing
    assert last == "make test: all is well."


def test_in_ci_a_gap_fails_unless_it_is_named(run):
    done = run(MARKED, CI="true")
    assert done.returncode == 1 and "CI must run everything: provide what browser" in done.stdout
    done = run(MARKED, "--leave-out", "browser", CI="true")
    assert done.returncode == 0 and "1 marked browser: --leave-out was given" in done.stdout


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("def test_no(): assert 0", 1),
        ("", 5),
        ("import pytest\n\n@pytest.mark.browser\ndef test_browser(): pass", 5),
        ("import pytest\n\ndef test_all(): pytest.skip('all')", 5),
        ("import pytest\npytest.skip('all', allow_module_level=True)", 5),
    ],
)
def test_a_failure_or_no_test_at_all_fails(run, text, code):
    done = run(text)
    assert done.returncode == code, done.stdout
    assert done.stdout.strip().endswith(f"make test: failed (exit code {code}).")


def test_arguments_reach_pytest(run):
    done = run(MARKED, "-k", "plain", "-q")
    assert done.returncode == 0 and "1 passed" in done.stdout and "rains" not in done.stdout


def test_lanes_are_for_the_whole_suite_alone(run):
    done = run(MARKED, "--lanes")
    assert done.returncode == 4 and "--lanes runs the whole suite" in done.stdout


def test_the_two_lanes_are_the_whole_suite_and_share_nothing():
    def collected(*arguments: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments],
            cwd=RUN.parents[1],
            capture_output=True,
            text=True,
            timeout=120,
        )
        return [line for line in done.stdout.splitlines() if "::" in line]

    parts = [collected(*lane.arguments) for lane in lanes.LANES]
    assert all(parts)
    assert sorted(test for part in parts for test in part) == sorted(collected())


BAD = """
import pytest

@pytest.mark.parametrize("number", range({failures}))
def test_no(number):
    print("noise\\n" * 200)
    assert number == "{name}"
"""


@pytest.fixture
def lane(tmp_path):
    """Make a lane of one file; options that come last end it in another way."""

    def lane(name: str, text: str) -> lanes.Lane:
        file = tmp_path / f"test_{name}.py"
        file.write_text(text, encoding="utf-8")
        toy = ("-c", os.devnull, "--rootdir", str(tmp_path), str(file))
        return lanes.Lane(name, toy, own_network=False)

    return lane


def test_lanes_show_everything_in_order(lane, capfd):
    good = "def test_yes(): pass"
    assert lanes.run([lane(name, good) for name in "ab"], []) == 0
    said = capfd.readouterr().out
    assert said.count("1 passed") == 2 and "once more" not in said
    assert said.index("test_a.py") < said.index("test_b.py")
    ends = [line.partition(" after ")[0] for line in said.splitlines()[-2:]]
    assert ends == ["a: all is well (exit code 0)", "b: all is well (exit code 0)"]


@pytest.mark.parametrize("bad", ["a", "b", "ab"])
def test_what_failed_in_any_lane_is_in_the_last_lines(lane, capfd, bad):
    made = []
    for name in "ab":
        text = BAD.format(failures=2, name=name) if name in bad else "def test_yes(): pass"
        made.append(lane(name, text))
    assert lanes.run(made, []) == 1
    last = capfd.readouterr().out.splitlines()[-100:]
    for name in "ab":
        assert any(line.startswith(f"_____ {name}: ") for line in last) == (name in bad)
    for name in bad:
        assert f"{name}: FAILED (exit code 1)" in [line.partition(" after ")[0] for line in last]
        for number in (0, 1):
            assert f"_____ {name}: test_{name}.py::test_no[{number}]" in last
            assert f"E       AssertionError: assert {number} == '{name}'" in last


def test_a_lane_that_dies_shows_how(lane, capfd):
    dies = "import os\n\ndef test_dies():\n    os.write(1, b'last words')\n    os.abort()"
    assert lanes.run([lane("a", dies), lane("b", "def test_yes(): pass")], ["-s"]) == -6
    said = capfd.readouterr().out
    shown_again = said.partition("once more")[2]
    assert "_____ a: how it ended" in shown_again and "last words" in shown_again


HANGS = """
import pathlib, time

def test_hangs():
    pathlib.Path(__file__).with_suffix(".begun").touch()
    for _ in range(600):
        time.sleep(0.1)
"""


def test_lanes_that_are_interrupted_say_where_they_were(tmp_path):
    toys = [tmp_path / f"test_{name}.py" for name in "ab"]
    program = "import lanes\nraise SystemExit(lanes.run([\n"
    for toy in toys:
        toy.write_text(HANGS, encoding="utf-8")
        options = ("-c", os.devnull, "--rootdir", str(tmp_path), str(toy))
        program += f"lanes.Lane({toy.stem!r}, {options}, own_network=False),\n"
    command = [sys.executable, "-c", f"{program}], []))"]
    with subprocess.Popen(
        command, cwd=RUN.parent, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        for toy in toys:
            until(toy.with_suffix(".begun").exists, 60, f"{toy.name} to be at its test")
        os.killpg(running.pid, signal.SIGINT)
        said, _ = running.communicate(timeout=90)
    assert running.returncode == 2, said
    *_, first, second = said.splitlines()
    assert first.startswith("test_a: FAILED (exit code 2)"), said
    assert second.startswith("test_b: FAILED (exit code 2)"), said
    shown_again = said.partition("once more")[2]
    assert all(f"{toy}:7: KeyboardInterrupt" in shown_again for toy in toys), said

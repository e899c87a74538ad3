"""tests/run.py: what it leaves out, what it says, and when it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    import lanes

    def collected(*arguments: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments],
            cwd=RUN.parents[1],
            capture_output=True,
            text=True,
            timeout=120,
        )
        return {line for line in done.stdout.splitlines() if "::" in line}

    first, second = (collected(*arguments) for arguments in lanes.LANES.values())
    assert first and second and not first & second
    assert first | second == collected()


def test_a_failure_in_either_lane_fails(monkeypatch, tmp_path, capfd):
    import lanes

    for name, text in {
        "test_good.py": "def test_yes(): pass",
        "test_bad.py": "def test_no(): assert 0",
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    options = ("-c", os.devnull, "--rootdir", str(tmp_path))
    good, bad = ((*options, str(tmp_path / name)) for name in ("test_good.py", "test_bad.py"))
    monkeypatch.setattr(lanes, "IN_A_NETWORK_OF_ITS_OWN", ())
    for lane, code in (((good, good), 0), ((good, bad), 1), ((bad, good), 1)):
        monkeypatch.setattr(lanes, "LANES", dict(zip("ab", lane, strict=True)))
        assert lanes.run([]) == code
    assert capfd.readouterr().out.count("1 passed") == 4

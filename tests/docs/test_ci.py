"""docs/ci.md shows a command that works, and the workflow for GitHub does what .ci/run does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from brokerlab.settings import IMAGE
from pages import ROOT

PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
WORKFLOW = ROOT / ".github" / "workflows" / "course.yml"
LEFT_OUT = re.compile(r"--leave-out (\w+)")
ALL = "notebooks/[0-9]*.ipynb notebooks/solutions/[0-9]*.ipynb"


def run_the_loop(notebook: Path | str, home: Path) -> subprocess.CompletedProcess[str]:
    (loop,) = re.findall(r"^```sh\n(export .*?)^```$", PAGE, re.M | re.S)
    assert ALL in loop
    loop = loop.replace(ALL, str(notebook)).replace(
        "$PWD/.venv/bin", str(Path(sys.executable).parent)
    )
    return subprocess.run(
        ["bash", "-c", loop], cwd=ROOT, capture_output=True, text=True, timeout=200, env=os.environ
    )


@pytest.mark.cluster
def test_the_command_runs_a_lesson(home):
    done = run_the_loop("notebooks/01_start_here.ipynb", home)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^=+ \d+ passed", done.stdout, re.M)


@pytest.mark.cluster
def test_the_command_fails_when_a_lesson_prints_something_else(home, tmp_path):
    text = (ROOT / "notebooks/01_start_here.ipynb").read_text(encoding="utf-8")
    assert "4 programs: " in text
    copy = tmp_path / "01_start_here.ipynb"
    copy.write_text(text.replace("4 programs: ", "5 programs: "), encoding="utf-8")
    done = run_the_loop(copy, home)
    assert done.returncode == 1 and "1 failed" in done.stdout, done.stdout


def workflow() -> dict:
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))


def invalid(file: Path) -> str:
    """Return what the schema of GitHub's workflows has against a file; no network is asked."""
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
    ]
    done = subprocess.run([*command, file], capture_output=True, text=True, timeout=60)
    return done.stdout if done.returncode else ""


def test_the_workflow_is_valid():
    assert invalid(WORKFLOW) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [("runs-on: macos-15", "run-on: macos-15"), ("timeout-minutes: 60", "timeout-minutes: long")],
)
def test_a_workflow_with_a_slip_is_refused(tmp_path, old, new):
    text = WORKFLOW.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "slip.yml").write_text(text.replace(old, new), encoding="utf-8")
    assert "validation errors" in invalid(tmp_path / "slip.yml")


def test_it_runs_weekly_and_on_each_push_and_may_only_read():
    # YAML 1.1 takes the word `on` for true.
    triggers = workflow()[True]
    assert {"push", "pull_request", "schedule", "workflow_dispatch"} == set(triggers)
    minute, hour, day, month, weekday = triggers["schedule"][0]["cron"].split()
    assert (
        (day, month) == ("*", "*")
        and weekday.isdecimal()
        and minute.isdecimal()
        and hour.isdecimal()
    )
    assert workflow()["permissions"] == {"contents": "read"}


def test_every_job_ends_and_every_action_is_of_github_and_of_a_version():
    jobs = workflow()["jobs"].values()
    assert all(job["timeout-minutes"] <= 120 for job in jobs)
    used = {step["uses"] for job in jobs for step in job["steps"] if "uses" in step}
    assert used and all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in used)


def test_the_jobs_do_what_ci_run_does():
    jobs = workflow()["jobs"]
    runs = {name: [s["run"] for s in job["steps"] if "run" in s] for name, job in jobs.items()}
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert jobs["linux"]["container"] == "debian:12" and runs["linux"] == [".ci/run"]
    assert any(run.startswith("make check") for run in runs["macos"])
    (test,) = [run for run in runs["macos"] if run.startswith("make test")]
    assert set(LEFT_OUT.findall(test)) == {*LEFT_OUT.findall(script), "browser", "containers"}
    assert "macos" in jobs["macos"]["runs-on"]


def test_the_real_image_is_fetched_for_containers():
    job = workflow()["jobs"]["containers"]
    assert job["env"]["BROKERLAB_IMAGE"] == IMAGE
    runs = [step["run"] for step in job["steps"] if "run" in step]
    pull, test, _ = runs
    assert pull == 'docker pull "$BROKERLAB_IMAGE"'
    assert "-m containers" in test


def test_the_page_names_every_job():
    for name in workflow()["jobs"]:
        assert f"| `{name}` |" in PAGE

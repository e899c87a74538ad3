"""The rows of each runtime: what is judged, what is said of one that is not here, and a round on real ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import runtime_rounds
from leftovers import containers_of
from runtime_rounds import MeasuredRuntime
from runtimes import on_every_runtime


def measured(first: float, attach: float, leaderless: float) -> list[MeasuredRuntime]:
    return [
        MeasuredRuntime("local", "processes", [10.0], [0.1], [3.0]),
        MeasuredRuntime("containers", "containers", [first], [attach], [leaderless]),
    ]


@pytest.mark.parametrize(
    ("values", "missed"),
    [
        ((15.0, 1.0, 6.0), []),
        ((15.1, 1.0, 6.0), ["first message"]),
        ((15.0, 1.1, 6.0), ["attach"]),
        ((15.0, 1.0, 6.1), ["a killed leader"]),
    ],
)
def test_each_bound_is_missed_alone(values: tuple[float, float, float], missed: list[str]) -> None:
    found = [one for one in runtime_rounds.figures(measured(*values)) if one.holds is False]
    assert len(found) == len(missed)
    for figure, name in zip(found, missed, strict=True):
        assert figure.name.startswith(name) and figure.name.endswith(", containers")


def test_processes_alone_have_their_leaders_judged() -> None:
    (figure,) = runtime_rounds.figures(measured(1, 1, 1)[:1])
    assert figure.name.endswith(", processes") and figure.bound == 6.0


def test_containers_that_cannot_be_measured_are_left_out_and_why_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    assert [one.runtime for one in runtime_rounds.present()] == ["local"]
    said = capsys.readouterr().out
    assert said.startswith("Containers are left out: The Docker daemon does not run (nobody ")
    assert said.endswith("docker.sock).\n")


@pytest.mark.cluster
@on_every_runtime
def test_a_round_leaves_nothing(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = []
    end = runtime_rounds.Side.end

    def noted(side: runtime_rounds.Side) -> None:
        folders.append(side.folder)
        end(side)

    monkeypatch.setattr(runtime_rounds.Side, "end", noted)
    one = MeasuredRuntime(runtime, runtime)
    one.measure()
    assert 0 < one.attach_call[0] < one.first_message[0] and one.new_leaders[0] > 0
    (folder,) = folders
    assert not folder.exists()
    assert runtime == "local" or containers_of(folder) == []

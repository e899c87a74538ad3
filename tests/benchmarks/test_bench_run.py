"""The command: its exit code is its verdict, and a failed measurement is no verdict."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from measure import Figure, samples
from side import SideError

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "run.py"


@pytest.fixture
def command() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmarks_run", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def figures(ours: float) -> list[Figure]:
    return [
        Figure("listed only", "s", samples([9.0])),
        Figure("start", "s", samples([ours]), "a peer", samples([10.0]), 0.4),
    ]


@pytest.mark.parametrize(("ours", "code", "verdict"), [(3.0, 0, "holds"), (5.0, 1, "missed")])
def test_the_exit_code_is_the_verdict(command, monkeypatch, capsys, tmp_path, ours, code, verdict):
    monkeypatch.setattr(command, "measure", lambda rounds: figures(ours))
    file = tmp_path / "figures.json"
    assert command.main(["--rounds", "1", "--json", str(file)]) == code
    assert verdict in capsys.readouterr().out
    written = json.loads(file.read_text())
    assert [figure["holds"] for figure in written["figures"]] == [None, code == 0]


def test_the_views_are_measured_for_as_long_as_asked(command, monkeypatch, capsys, tmp_path):
    asked = []
    monkeypatch.setattr(
        command,
        "measure_views",
        lambda views, minutes: asked.append((views, minutes)) or figures(3),
    )
    monkeypatch.setattr(command, "measure", lambda rounds: pytest.fail("measured the lab"))
    file = tmp_path / "figures.json"
    assert command.main(["--widgets", "--minutes", "3", "--json", str(file)]) == 0
    assert asked == [(command.VIEWS, 3)]
    assert json.loads(file.read_text())["minutes"] == 3


def test_the_queue_is_measured_with_as_many_pictures_as_asked(command, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        command, "measure_queue", lambda *numbers: asked.append(numbers) or figures(5)
    )
    monkeypatch.setattr(command, "measure", lambda rounds: pytest.fail("measured the lab"))
    file = tmp_path / "figures.json"
    arguments = ["--queue", "--rounds", "2", "--pictures", "300", "--json", str(file)]
    assert command.main(arguments) == 1
    assert asked == [(2, 300)]
    assert json.loads(file.read_text())["pictures"] == 300


def test_what_could_not_be_measured_gives_neither_a_verdict_nor_a_file(
    command, monkeypatch, capsys, tmp_path
):
    def fail(rounds: int) -> list[Figure]:
        raise SideError("trivup did not start")

    monkeypatch.setattr(command, "measure", fail)
    file = tmp_path / "figures.json"
    assert command.main(["--json", str(file)]) == 2
    assert "trivup did not start" in capsys.readouterr().err
    assert not file.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rounds", "0"],
        ["--widgets", "--minutes", "0"],
        ["--queue", "--pictures", "0"],
        ["--json", "/no/such/folder/file"],
    ],
)
def test_nonsense_is_refused_before_anything_is_measured(command, monkeypatch, arguments):
    monkeypatch.setattr(command, "measure", lambda rounds: pytest.fail("measured"))
    with pytest.raises(SystemExit):
        command.main(arguments)

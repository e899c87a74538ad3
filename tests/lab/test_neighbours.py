"""Where other people can use the machine, a lab asks for a password; on a machine of one's own it does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from brokerlab import neighbours

ME, ANNA, SERVICE, NOBODY = 1000, 1001, 33, 65_534


def signs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    me: int = ME,
    homes: dict[str, int] | None = None,
    sessions: tuple[str, ...] = (),
    **environ: str,
) -> list[str]:
    """Return the signs of others on a machine with these homes (name -> owner) and sessions."""
    owners = {}
    for name, owner in (homes or {}).items():
        folder = tmp_path / "home" / name
        folder.mkdir(parents=True)
        owners[folder] = owner
    for name in sessions:
        (tmp_path / "run" / name).mkdir(parents=True)
    monkeypatch.setattr(neighbours, "_owner", owners.__getitem__)
    monkeypatch.setattr(neighbours, "PEOPLE", range(1000, 60_000))
    found = neighbours.signs_of_others(environ, tmp_path / "home", tmp_path / "run", me)
    return list(found)


def test_a_machine_of_ones_own(tmp_path, monkeypatch):
    homes = {"me": ME, "postgres": SERVICE, "lost+found": 0}
    assert signs(tmp_path, monkeypatch, homes=homes, sessions=("0", "1000", "x")) == []


def test_a_machine_without_such_folders(tmp_path, monkeypatch):
    assert signs(tmp_path, monkeypatch) == []


def test_somebody_elses_home(tmp_path, monkeypatch):
    (said,) = signs(tmp_path, monkeypatch, homes={"me": ME, "anna": ANNA})
    assert said == f"somebody else has a home on this machine, {tmp_path}/home/anna"


def test_a_container_that_is_worked_in_as_root_has_an_account_that_nobody_uses(
    tmp_path, monkeypatch
):
    assert signs(tmp_path, monkeypatch, me=0, homes={"ubuntu": ME}) == []


@pytest.mark.parametrize("me", [0, ME])
def test_somebody_else_is_logged_in(tmp_path, monkeypatch, me):
    (said,) = signs(tmp_path, monkeypatch, me=me, sessions=(str(ANNA), str(NOBODY)))
    assert said.endswith("logged in on this machine, with the user id 1001")


@pytest.mark.parametrize("name", neighbours.HUB)
def test_a_hub(tmp_path, monkeypatch, name):
    (said,) = signs(tmp_path, monkeypatch, **{name: "anna"})
    assert "JupyterHub" in said


def test_what_is_asked_for_is_had(monkeypatch):
    monkeypatch.setattr(neighbours, "signs_of_others", lambda environ: iter(["a sign"]))
    assert neighbours.decide("auto", {}) == (True, "a sign")
    assert neighbours.decide("off", {"JUPYTERHUB_USER": "anna"})[0] is False
    monkeypatch.setattr(neighbours, "signs_of_others", lambda environ: iter([]))
    assert neighbours.decide("auto", {})[0] is False
    assert neighbours.decide("on", {})[0] is True


def test_this_machine_can_be_asked():
    closed, why = neighbours.decide("auto")
    assert closed is bool(list(neighbours.signs_of_others(os.environ))) and why

"""The environment variables."""

from __future__ import annotations

from pathlib import Path

import pytest
from brokerlab import settings
from brokerlab.errors import SettingError


def test_nothing_set_and_empty_are_the_same() -> None:
    empty = dict.fromkeys(settings.VARIABLES, "")
    assert settings.read({}) == settings.read(empty)
    assert settings.read({}).linger == 60
    assert settings.read({}).runtime == "auto"
    assert settings.read({}).auth == "auto"
    assert settings.read({}).mirror is None


def test_folders_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = settings.read({"BROKERLAB_HOME": "some home", "BROKERLAB_CACHE": "~/cache"})
    assert asked.home == tmp_path / "some home"
    assert asked.cache == Path.home() / "cache"


@pytest.mark.parametrize(
    "variable, value, sentence",
    [
        ("BROKERLAB_LINGER", "abc", "number of seconds from 0 to 86400"),
        ("BROKERLAB_LINGER", "-1", "number of seconds from 0 to 86400"),
        ("BROKERLAB_LINGER", "nan", "number of seconds from 0 to 86400"),
        ("BROKERLAB_LINGER", "inf", "number of seconds from 0 to 86400"),
        ("BROKERLAB_LINGER", "1e9", "number of seconds from 0 to 86400"),
        ("BROKERLAB_LINGER", " ", "number of seconds from 0 to 86400"),
        ("BROKERLAB_RUNTIME", "podman", "set it to one of"),
        ("BROKERLAB_RUNTIME", "LOCAL", "set it to one of"),
        ("BROKERLAB_AUTH", "yes", "set it to one of auto, on, off"),
        ("BROKERLAB_MIRROR", "ftp://somewhere", "http:// or https://"),
        ("BROKERLAB_HOME", "two\nlines", "path of one folder"),
        ("BROKERLAB_CACHE", "two\nlines", "path of one folder"),
        ("BROKERLAB_HOME", "~nobody-has-this-name/x", "no such user"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(variable: str, value: str, sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence) as caught:
        settings.read({variable: value})
    assert str(caught.value).startswith(variable)


@pytest.mark.parametrize("text, seconds", [("0", 0), ("3", 3), ("2.5", 2.5), ("86400", 86_400)])
def test_lingers_that_can_be_used(text: str, seconds: float) -> None:
    assert settings.read({"BROKERLAB_LINGER": text}).linger == seconds

"""The console tools, where no lab is needed."""

from __future__ import annotations

import os
import socket
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from brokerlab import tools
from brokerlab.errors import NoLabError, SettingError


@pytest.fixture
def listening() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def silent() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("option", ["--bootstrap-server", "--broker-list", "--zookeeper"])
def test_nobody_listening_is_one_sentence(option: str, silent: str) -> None:
    with pytest.raises(NoLabError, match=f"Nothing listens on {silent}.*brokerlab start"):
        tools.check_somebody_listens("kafka-topics.sh", ["--list", option, silent])


def test_zookeeper_shell_takes_its_address_first(silent: str, listening: str) -> None:
    with pytest.raises(NoLabError):
        tools.check_somebody_listens("zookeeper-shell.sh", [f"{silent}/chroot", "ls", "/"])
    tools.check_somebody_listens("zookeeper-shell.sh", [listening, "ls", "/"])
    tools.check_somebody_listens("zookeeper-shell.sh", [])


def test_one_that_listens_is_enough(silent: str, listening: str) -> None:
    addresses = f"{silent},{listening}"
    tools.check_somebody_listens("kafka-topics.sh", ["--bootstrap-server", addresses])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["--bootstrap-server"],
        ["--bootstrap-server", "nonsense"],
        ["--bootstrap-server", "127.0.0.1:port"],
        ["--bootstrap-server", "no.such.host.invalid:9092"],
    ],
)
def test_what_is_not_ours_to_judge_is_left_to_the_tool(arguments: list[str]) -> None:
    tools.check_somebody_listens("kafka-topics.sh", arguments)


def test_no_such_tool() -> None:
    with pytest.raises(SettingError, match="there are kafka-topics"):
        tools.command_line("kafka-nonsense.sh", [])


def test_every_tool_of_the_package_is_on_path_and_back() -> None:
    scripts = Path(sysconfig.get_path("scripts"))
    installed = {path.name for path in scripts.glob("*.sh")}
    assert set(tools.TOOLS) <= installed


def test_only_a_noexec_tmp_moves_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for flags, moved in ((0, {}), (os.ST_NOEXEC, {"java.io.tmpdir": str(tmp_path / "tmp")})):
        monkeypatch.setattr(os, "statvfs", lambda _, f=flags: SimpleNamespace(f_flag=f))
        assert tools._temporary_folder(tmp_path) == moved


@pytest.mark.cluster
@pytest.mark.parametrize(
    "tool, arguments, sentence",
    [
        ("kafka-topics.sh", ["--no-such-option"], "no-such-option is not a recognized option"),
        ("kafka-topics.sh", ["--list"], "bootstrap-server"),
        ("kafka-topics.sh", ["--bootstrap-server", "nonsense", "--list"], "nonsense"),
        ("kafka-console-producer.sh", [], "topic"),
    ],
)
def test_nonsense_is_answered_by_the_tool_itself(
    cache: Path, tool: str, arguments: list[str], sentence: str
) -> None:
    program = Path(sysconfig.get_path("scripts"), tool)
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert sentence in done.stdout + done.stderr


def test_without_a_lab_a_tool_says_so_at_once(silent: str) -> None:
    program = Path(sysconfig.get_path("scripts"), "kafka-console-consumer.sh")
    done = subprocess.run(
        [program, "--bootstrap-server", silent, "--topic", "t"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip().count("\n") == 0
    assert "brokerlab start" in done.stderr

"""A real JupyterLab server and a real Chromium, as a learner has them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest
from brokerlab import settings
from fronts import JUPYTERLAB, Front
from homes import fresh_home, stop_labs

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "artifacts" / "browser"
# What Jupyter itself says in every session, with or without us.
NOISE = ("favicon", "ResizeObserver", "net::ERR_", "service worker", "ServiceWorker")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that JupyterLab serves: a copy of the notebooks."""
    folder = tmp_path_factory.mktemp("jupyter") / "notebooks"
    shutil.copytree(ROOT / "notebooks", folder)
    return folder


@pytest.fixture(scope="module")
def front() -> Front:
    """Return what shows the notebooks: JupyterLab, where a test module has no fixture of this name."""
    return JUPYTERLAB


@pytest.fixture(scope="module")
def server(served: Path, front: Front) -> Iterator[str]:
    """Serve the notebooks with no settings but its own; yield the address."""
    folder = served.parent
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with fresh_home():
        environ = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
            "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        }
        command = [
            *(sys.executable, "-m", front.module, "--no-browser", "--allow-root"),
            *("--ip=127.0.0.1", f"--port={port}", f"--notebook-dir={served}"),
            *("--IdentityProvider.token=", *front.options),
        ]
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        try:
            _wait_for(f"http://127.0.0.1:{port}/api", process, folder / "server.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"The server did not answer within 60 s: {log.read_text()}")


@pytest.fixture
def write_notebook(served: Path) -> Callable[..., None]:
    """Write a notebook of code cells beside the lessons."""

    def write(name: str, *sources: str) -> None:
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        kernel = {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        }
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), served / name)

    return write


@dataclass
class Notebook:
    """A notebook that is open in JupyterLab."""

    page: Any
    name: str
    errors: list[str] = field(default_factory=list)

    def command(self, name: str, arguments: str = "{}") -> None:
        """Run a command of JupyterLab, as its menus do, without waiting for its end."""
        self.page.evaluate(f"void window.jupyterapp.commands.execute({name!r}, {arguments})")

    def accept_dialogs(self) -> None:
        for button in self.page.locator(".jp-Dialog .jp-mod-accept").all():
            button.click()

    def code_cells(self) -> list[dict[str, Any]]:
        """Return every code cell as it stands: ``source``, ``running``, ``count``, ``outputs``.

        Read from JupyterLab's model of the notebook: cells out of sight are not on the page.
        """
        cells: list[dict[str, Any]] = self.page.evaluate(
            """() => {
                const found = [];
                for (const cell of window.jupyterapp.shell.currentWidget.content.model.cells) {
                    if (cell.type !== 'code') continue;
                    const {source, execution_count, outputs} = cell.toJSON();
                    const running = cell.executionState === 'running';
                    found.push({source, running, count: execution_count, outputs});
                }
                return found;
            }"""
        )
        return cells

    def wait_idle(self, seconds: float) -> None:
        """Wait until the kernel has nothing to do."""
        idle = ".jp-Notebook-ExecutionIndicator[data-status=idle]"
        self.page.wait_for_selector(idle, timeout=seconds * 1000, state="attached")

    def run_all(self, seconds: float) -> None:
        """Run all cells, and wait until each has ended or one has failed."""
        self.wait_idle(60)
        self.command("notebook:run-all-cells")
        limit = time.monotonic() + seconds
        started = False
        while True:
            cells = self.code_cells()
            started = started or any(cell["running"] for cell in cells)
            if started and not any(cell["running"] for cell in cells):
                return
            assert time.monotonic() < limit, f"still running after {seconds} s: {_last(cells)}"
            self.page.wait_for_timeout(100)

    def run_cells(self, last: int, wait: bool = True) -> None:
        """Run the code cells that have not run yet, up to number `last`."""
        first = sum(bool(cell["count"]) for cell in self.code_cells())
        for number in range(first, last):
            self.page.evaluate(
                "n => {window.jupyterapp.shell.currentWidget.content.activeCellIndex = n;}", number
            )
            self.command("notebook:run-cell")
        if wait:
            self.wait_until(
                lambda: all(c["count"] and not c["running"] for c in self.code_cells()[:last]), 90
            )
            assert [f for f in self.failures() if not f.startswith("not run")] == []

    def press(self, group: str, kind: str) -> None:
        """Click the control of a view that sends the command `kind`, once it can be pressed."""
        control = f'[data-group="{group}"][data-command*=\'"kind": "{kind}"\']'
        self.page.locator(f"{control}:not([aria-disabled])").first.click(timeout=30_000)

    def shows(self, selector: str, seconds: float = 30) -> None:
        """Wait until a view shows something."""
        self.page.wait_for_selector(f".bl-stage {selector}", timeout=seconds * 1000)

    def failures(self) -> list[str]:
        """Return what failed, and what did not run."""
        cells = self.code_cells()
        failed = [
            f"{cell['source']}: {output['ename']}: {output['evalue']}"
            for cell in cells
            for output in cell["outputs"]
            if output["output_type"] == "error"
        ]
        return failed or [f"not run: {cell['source']}" for cell in cells if not cell["count"]]

    def wait_until(self, true: Callable[[], bool], seconds: float) -> None:
        limit = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < limit, f"not true within {seconds} s"
            self.page.wait_for_timeout(100)

    def outputs(self, text: str) -> Any:
        return self.page.locator(".jp-OutputArea-output", has_text=text)

    def show(self, source: str) -> None:
        """Scroll to the first code cell whose source holds a text."""
        self.page.evaluate(
            """async source => {
                const notebook = window.jupyterapp.shell.currentWidget.content;
                const index = notebook.widgets.findIndex(
                    cell => cell.model.type === 'code' && cell.model.sharedModel.source.includes(source));
                await notebook.scrollToItem(index, 'start');
            }""",
            source,
        )
        self.page.wait_for_timeout(300)

    def picture(self, name: str) -> None:
        """Take a picture of the page, for people to look at."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{self.name.removesuffix('.ipynb')}-{name}.png")

    def theme(self, name: str) -> None:
        """Change to ``JupyterLab Light`` or ``JupyterLab Dark`` and wait until it shows."""
        self.command("apputils:change-theme", f"{{theme: {name!r}}}")
        light = "true" if "Light" in name else "false"
        self.page.wait_for_selector(
            f"body[data-jp-theme-light={light}]", timeout=20_000, state="attached"
        )


def _last(cells: list[dict[str, Any]]) -> str:
    return next((cell["source"] for cell in cells if cell["running"]), "no cell has begun")


@pytest.fixture
def open_notebook(server: str, front: Front, browser: Any) -> Iterator[Any]:
    """Open a notebook by name at the resolution of a projector; at the end its lab is stopped."""
    opened: list[Notebook] = []

    def open_it(name: str) -> Notebook:
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        notebook = Notebook(page, name)

        def complain(words: str, noise: tuple[str, ...]) -> None:
            if not any(known in words for known in noise):
                notebook.errors.append(words)

        page.on("pageerror", lambda error: complain(str(error), front.noise))
        page.on(
            "console", lambda message: message.type == "error" and complain(message.text, NOISE)
        )
        page.goto(f"{server}{front.path(name)}")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        # The first cell on the page may be an empty one, before the file has been read.
        page.evaluate(
            """async () => {
                const {context} = window.jupyterapp.shell.currentWidget;
                await context.ready;
                await context.sessionContext.ready;
            }"""
        )
        notebook.wait_idle(60)
        opened.append(notebook)
        return notebook

    yield open_it
    for notebook in opened:
        notebook.page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
        notebook.page.close()
    stop_labs(settings.read().home)

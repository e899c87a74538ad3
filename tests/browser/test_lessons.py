"""Each lesson, top to bottom, in JupyterLab: no cell fails, the widgets live, the page complains of nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.cluster]

NOTEBOOKS = sorted(
    p.name for p in (Path(__file__).parents[2] / "notebooks").glob("[0-9][0-9]_*.ipynb")
)

ALWAYS = ("01_", "07_", "11_")
"""Run by CI too: the first, one that breaks brokers, one whose members a restart kills. nbval runs all of them, without a browser."""


def test_there_are_notebooks():
    assert sum(name.startswith(ALWAYS) for name in NOTEBOOKS) == len(ALWAYS)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name.startswith(ALWAYS) else pytest.mark.slow)
        for name in NOTEBOOKS
    ],
)
def test_runs_top_to_bottom_after_a_restart_in_the_middle(open_notebook, name):
    """Half a lesson, a restart of the kernel, and then all of it, in the lab that the first half left."""
    notebook = open_notebook(name)
    half = len(notebook.code_cells()) // 2
    notebook.command("notebook:run-all-cells")
    notebook.wait_until(lambda: notebook.code_cells()[half]["count"], 180)
    notebook.command("notebook:restart-run-all")
    notebook.page.wait_for_selector(".jp-Dialog .jp-mod-accept", timeout=20_000)
    notebook.accept_dialogs()

    def over() -> bool:
        cells = notebook.code_cells()
        counts = [cell["count"] for cell in cells]
        failed = any(out["output_type"] == "error" for cell in cells for out in cell["outputs"])
        return counts == list(range(1, len(cells) + 1)) or (failed and not cells[-1]["running"])

    notebook.wait_until(over, 240)
    assert notebook.failures() == []
    _look_at_every_widget(notebook)
    # The restart cancels what JupyterLab was just asking the kernel, which it says itself.
    assert [error for error in notebook.errors if "Canceled future for" not in error] == []


def _look_at_every_widget(notebook) -> None:
    shown = [
        cell["source"]
        for cell in notebook.code_cells()
        for output in cell["outputs"]
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {})
    ]
    assert shown, "no widget is shown"
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        notebook.theme(theme)
        for number, source in enumerate(shown, 1):
            notebook.show(source)
            assert notebook.page.locator(".bl:visible").count()
            notebook.picture(f"{theme.split()[1].lower()}-{number}")


def test_restarted_kernel_attaches_to_the_same_brokers(open_notebook):
    notebook = open_notebook("01_start_here.ipynb")
    notebook.run_all(120)
    before = _pids(notebook)
    notebook.command("notebook:restart-kernel")
    notebook.page.wait_for_selector(".jp-Dialog .jp-mod-accept", timeout=20_000)
    notebook.accept_dialogs()
    notebook.page.wait_for_selector(".jp-Dialog", state="detached", timeout=20_000)
    notebook.wait_idle(60)
    assert _pids(notebook) == before


def _pids(notebook) -> str:
    """Run a new last cell that prints the brokers' pids, and read what it prints."""
    page = notebook.page
    marks = notebook.outputs("brokers' pids:").count()
    code = (
        "import brokerlab; lab = brokerlab.start(brokers=3); "
        'print("brokers\' pids:", [b.pid for b in lab.brokers.values()])'
    )
    page.evaluate(
        """code => {
            const panel = window.jupyterapp.shell.currentWidget;
            const model = panel.content.model.sharedModel;
            model.insertCell(model.cells.length, {cell_type: 'code', source: code});
            panel.content.activeCellIndex = model.cells.length - 1;
        }""",
        code,
    )
    notebook.command("notebook:run-cell")
    shown = notebook.outputs("brokers' pids:").nth(marks)
    shown.wait_for(timeout=60_000)
    return str(shown.inner_text())

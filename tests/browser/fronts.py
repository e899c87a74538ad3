"""What shows a notebook in a browser: the same server, and a page of its own for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Front:
    """A program that serves notebooks.

    Attributes
    ----------
    module
        Run with ``python -m``.
    options
        Its own, after those of every Jupyter server; they must put the application at ``window.jupyterapp``.
    path
        Takes the name of a notebook; returns where its page is.
    noise
        What its own code complains of in every session, with a notebook of ``1 + 1`` too.
    """

    module: str
    options: tuple[str, ...]
    path: Callable[[str], str]
    noise: tuple[str, ...] = ()


JUPYTERLAB = Front(
    "jupyterlab",
    ("--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None"),
    lambda name: f"/lab/workspaces/{Path(name).stem.partition('_')[0]}/tree/{name}?reset",
)
NOTEBOOK_7 = Front(
    "notebook",
    ("--JupyterNotebookApp.expose_app_in_browser=True",),
    lambda name: f"/notebooks/{name}",
    ("Cannot read properties of undefined (reading 'schema')",),
)

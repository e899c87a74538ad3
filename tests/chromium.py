"""Debian's Chromium, headless: where it is, and how it is started."""

from __future__ import annotations

import shutil

PATH = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # It would look up addresses on the internet at every start.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

"""The page at ``/docs``: what OpenAPI says of the application, as plain HTML.

FastAPI's own page takes its scripts from a CDN, and is blank where there is no network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; } h2 code { font-size: 1.1rem; }
table { border-collapse: collapse; width: 100%; }
td, th { border-bottom: 1px solid color-mix(in srgb, currentColor 25%, transparent);
         padding: .3rem .6rem; text-align: left; vertical-align: top; }
"""


def page(openapi: Mapping[str, Any]) -> str:
    """Return the page for an OpenAPI document."""
    info = openapi["info"]
    title = escape(info["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><h1>{title}</h1><p>{escape(info.get('summary', ''))} "
        '<a href="openapi.json">openapi.json</a> says the same for programs.</p>'
        f"{''.join(_operations(openapi['paths']))}</html>"
    )


def _operations(paths: Mapping[str, Any]) -> Iterator[str]:
    for path, operations in paths.items():
        for method, operation in operations.items():
            yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
            yield f"<p>{escape(operation.get('summary', ''))}</p>"
            yield _table("Parameter", _parameters(operation))
            yield _table("Body", _body(operation))
            yield _table("Answer", _answers(operation))


def _parameters(operation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for one in operation.get("parameters", ()):
        known = {name: value for name, value in one["schema"].items() if name != "title"}
        yield f"{one['name']} ({one['in']})", one.get("description") or json.dumps(known)


def _body(operation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if body := operation.get("requestBody"):
        yield ", ".join(body["content"]), body.get("description", "")


def _answers(operation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for status, answer in operation["responses"].items():
        yield status, answer["description"]


def _table(head: str, rows: Iterator[tuple[str, str]]) -> str:
    lines = "".join(f"<tr><td><code>{escape(a)}</code><td>{escape(b)}" for a, b in rows)
    return f"<table><tr><th>{head}<th>{lines}</table>" if lines else ""

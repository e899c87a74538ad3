"""The visual language of all views: one table of colours and marks, for the live view and for the still.

A mark says what it is by shape, pattern or letter as well; colour only helps. The colours follow Okabe and
Ito's set, darkened on a light ground and lightened on a dark one until text on them can be read.
"""

from __future__ import annotations

PREFIX = "bl-"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"

TOKENS: dict[str, tuple[str, str]] = {
    "ground": ("#ffffff", "#1c1c1e"),
    "panel": ("#f6f7f9", "#28292c"),
    "edge": ("#b4bac2", "#5c626b"),
    "ink": ("#1d2126", "#eef0f2"),
    "soft": ("#565d66", "#aeb5bd"),
    "faint": ("#d9dde2", "#43474d"),
    "leader": ("#0072b2", "#56b4e9"),
    "on-leader": ("#ffffff", "#0b1a24"),
    "zookeeper": ("#007a59", "#34c79b"),
    "zookeeper-ground": ("#e6f4ef", "#173029"),
    "controller": ("#8a3a6b", "#e3a0c8"),
    "on-controller": ("#ffffff", "#2a0f20"),
    "alarm": ("#b84a00", "#ff9a57"),
    "on-alarm": ("#ffffff", "#2a1100"),
    "paused": ("#e69f00", "#f0b429"),
    "on-paused": ("#1d1400", "#1d1400"),
    "terminal": ("#1d2126", "#101214"),
    "on-terminal": ("#e8ebee", "#e8ebee"),
    "soft-terminal": ("#9aa3ad", "#9aa3ad"),
    "typed": ("#7cc7f2", "#7cc7f2"),
    "series-1": ("#56b4e9", "#56b4e9"),
    "series-2": ("#e69f00", "#e69f00"),
    "series-3": ("#009e73", "#00b386"),
    "series-4": ("#f0e442", "#f0e442"),
    "series-5": ("#d9661f", "#e0762f"),
    "series-6": ("#cc79a7", "#d48bb4"),
    "on-series": ("#14100a", "#14100a"),
}
"""Name -> colour on a light ground, colour on a dark ground."""

FROM_JUPYTER = {
    "ground": "--jp-layout-color1",
    "ink": "--jp-ui-font-color0",
}
"""Tokens which JupyterLab's theme decides where there is one."""

SERIES = 6
"""How many things that are told apart by colour (keys, consumers, cameras) have a colour: ``series-1`` to this.

Each carries a letter or a number as well; a seventh takes the first colour again.
"""

STYLES: dict[str, dict[str, str]] = {
    "text": {"font-size": "16", "fill": "$ink"},
    "small": {"font-size": "15"},
    "chip-text": {"font-size": "17"},
    "soft": {"fill": "$soft"},
    "mono": {"font-family": MONO},
    "heading": {"font-size": "20", "font-weight": "700", "fill": "$ink"},
    "heading-narrow": {"font-size": "16"},
    "strong": {"font-weight": "700"},
    "end": {"text-anchor": "end"},
    "middle": {"text-anchor": "middle"},
    "backdrop": {"fill": "$ground", "stroke": "none"},
    "node": {"fill": "$panel", "stroke": "$edge", "stroke-width": "1.5"},
    "down": {"fill": "$ground", "stroke": "$edge", "stroke-width": "2", "stroke-dasharray": "7 5"},
    "frozen": {"fill": "$panel", "stroke": "$paused", "stroke-width": "3"},
    "rule": {"stroke": "$faint", "stroke-width": "1", "fill": "none"},
    "shade": {"stroke": "$faint", "stroke-width": "1.5", "fill": "none"},
    "zookeeper": {"fill": "$zookeeper-ground", "stroke": "$zookeeper", "stroke-width": "2"},
    "zookeeper-ink": {"fill": "$zookeeper"},
    "link": {
        "stroke": "$zookeeper",
        "stroke-width": "4",
        "fill": "none",
        "stroke-linecap": "round",
    },
    "link-waiting": {"stroke": "$paused", "stroke-dasharray": "2 8"},
    "link-broken": {"stroke": "$alarm", "stroke-width": "3"},
    "link-unknown": {"stroke": "$edge", "stroke-dasharray": "2 8"},
    "leader": {"fill": "$leader", "stroke": "$leader", "stroke-width": "2"},
    "on-leader": {"fill": "$on-leader", "font-weight": "700"},
    "follower": {"fill": "$ground", "stroke": "$leader", "stroke-width": "2"},
    "on-follower": {"fill": "$ink"},
    "out-of-sync": {
        "fill": "$ground",
        "stroke": "$alarm",
        "stroke-width": "2",
        "stroke-dasharray": "4 3",
    },
    "hatch": {"stroke": "$alarm", "stroke-width": "1.5", "opacity": "0.45", "fill": "none"},
    "halo": {
        "stroke": "$ground",
        "stroke-width": "4",
        "stroke-linejoin": "round",
        "paint-order": "stroke",
    },
    "leaderless": {"fill": "$alarm", "stroke": "$alarm", "stroke-width": "2"},
    "on-leaderless": {"fill": "$on-alarm", "font-weight": "700"},
    "controller": {"fill": "$controller", "stroke": "none"},
    "on-controller": {"fill": "$on-controller", "font-weight": "700"},
    "alarm": {"fill": "$alarm", "stroke": "none"},
    "on-alarm": {"fill": "$on-alarm", "font-weight": "700"},
    "alarm-ink": {"fill": "$alarm", "font-weight": "700"},
    "paused-ink": {"fill": "$paused"},
    "warned": {"fill": "$ground", "stroke": "$alarm", "stroke-width": "2"},
    "calm": {"fill": "none", "stroke": "$faint", "stroke-width": "1.5"},
    "terminal": {"fill": "$terminal", "stroke": "$edge", "stroke-width": "1"},
    "on-terminal": {"fill": "$on-terminal"},
    "soft-terminal": {"fill": "$soft-terminal"},
    "typed": {"fill": "$typed"},
    "series-1": {"fill": "$series-1", "stroke": "$ink", "stroke-width": "1"},
    "series-2": {"fill": "$series-2", "stroke": "$ink", "stroke-width": "1"},
    "series-3": {"fill": "$series-3", "stroke": "$ink", "stroke-width": "1"},
    "series-4": {"fill": "$series-4", "stroke": "$ink", "stroke-width": "1"},
    "series-5": {"fill": "$series-5", "stroke": "$ink", "stroke-width": "1"},
    "series-6": {"fill": "$series-6", "stroke": "$ink", "stroke-width": "1"},
    "on-series": {"fill": "$on-series", "font-weight": "700"},
    "figure": {"font-size": "26", "font-weight": "700"},
    "huge": {"font-size": "58", "font-weight": "700"},
    "what-if": {
        "fill": "none",
        "stroke": "$ink",
        "stroke-width": "2.5",
        "stroke-dasharray": "10 6",
    },
    "pole": {"stroke": "$ink", "stroke-width": "2.5", "fill": "none"},
    "again": {"fill": "$ground", "stroke": "$series-3", "stroke-width": "2"},
    "hatch-again": {"stroke": "$series-3", "stroke-width": "2.5", "fill": "none"},
    "flow": {
        "stroke": "$leader",
        "stroke-width": "5.5",
        "stroke-linecap": "round",
        "fill": "none",
    },
    "heap": {"fill": "$faint", "stroke": "$leader", "stroke-width": "2.5"},
    "found": {"fill": "none", "stroke": "$series-2", "stroke-width": "2.5"},
    "found-halo": {"fill": "none", "stroke": "$on-series", "stroke-width": "4.5"},
    "chosen": {"fill": "$faint", "stroke": "$leader", "stroke-width": "2.5"},
    "anywhere": {"fill": "$ground", "fill-opacity": "0"},
    "dim": {"opacity": "0.45"},
}
"""Class of a mark -> its presentation attributes; ``$name`` is a colour of `TOKENS`, later rows win."""


def still_attributes(classes: str) -> dict[str, str]:
    """Return the attributes of an element with `classes` on a light ground, where no style sheet reaches."""
    wanted = {name.removeprefix(PREFIX) for name in classes.split()}
    resolved: dict[str, str] = {}
    for name, row in STYLES.items():
        if name in wanted:
            resolved |= row
    return {
        key: TOKENS[value[1:]][0] if value.startswith("$") else value
        for key, value in resolved.items()
    }


def style_sheet() -> str:
    """Return the CSS of all marks, with the colours for light and dark grounds."""
    light = {name: _live(name, colours[0]) for name, colours in TOKENS.items()}
    dark = {name: _live(name, colours[1]) for name, colours in TOKENS.items()}
    rules = [
        _rule(".bl", _variables(light)),
        _rule('[data-jp-theme-light="false"] .bl, .vscode-dark .bl', _variables(dark)),
    ]
    for name, row in STYLES.items():
        rules.append(
            _rule(f".{PREFIX}{name}", {key: _css(key, value) for key, value in row.items()})
        )
    return "\n".join(rules)


def _live(name: str, colour: str) -> str:
    theme = FROM_JUPYTER.get(name)
    return f"var({theme}, {colour})" if theme else colour


def _variables(colours: dict[str, str]) -> dict[str, str]:
    return {f"--{PREFIX}{name}": colour for name, colour in colours.items()}


def _css(key: str, value: str) -> str:
    if value.startswith("$"):
        return f"var(--{PREFIX}{value[1:]})"
    return f"{value}px" if key == "font-size" else value


def _rule(selector: str, declarations: dict[str, str]) -> str:
    body = ";".join(f"{key}:{value}" for key, value in declarations.items())
    return f"{selector}{{{body}}}"

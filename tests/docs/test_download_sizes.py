"""What the pages say of the jars' size is what the lock file adds up to."""

from __future__ import annotations

import re

import pytest
from brokerlab.distribution.jars import all_locked
from pages import ROOT

JARS = round(sum(jar.size for jar in all_locked()) / 1e6)
PACKAGES = 175
"""MB from PyPI, measured: wheels differ from system to system."""
SAID = {
    "README.md": r"about (?P<packages>\d+) MB from PyPI .* and (?P<jars>\d+) MB from Maven Central",
    "docs/classroom.md": r"is then (?P<packages>\d+) MB of packages and (?P<jars>\d+) MB of jars",
    "docs/instructor/README.md": r"\(about (?P<both>\d+) MB\)",
    "docs/instructor/thirty-learners.md": (
        r"from PyPI \| (?P<packages>\d+) MB \| (?P<thirty_packages>[\d.]+) GB \|\n"
        r"\| jars, from Maven Central \| (?P<jars>\d+) MB \| (?P<thirty_jars>[\d.]+) GB \|\n"
        r"\| at 100 Mbit/s.*\| (?P<minutes>\d+) minutes \|"
    ),
    "Makefile": r"about (?P<packages>\d+) MB to fetch",
}
TRUE = {
    "packages": PACKAGES,
    "jars": JARS,
    "both": PACKAGES + JARS,
    "thirty_packages": 30 * PACKAGES / 1000,
    "thirty_jars": 30 * JARS / 1000,
    "minutes": 30 * (PACKAGES + JARS) * 8 / 100 / 60,
}


@pytest.mark.parametrize("page", SAID)
def test_a_page_says_what_there_is_to_fetch(page: str) -> None:
    said = re.search(SAID[page], (ROOT / page).read_text(encoding="utf-8"))
    assert said, "it does not say it any more, or in other words"
    for name, value in said.groupdict().items():
        digits = len(value.partition(".")[2])
        assert float(value) == pytest.approx(TRUE[name], abs=0.51 * 10**-digits), name

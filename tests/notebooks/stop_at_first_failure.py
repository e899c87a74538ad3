"""A pytest plugin for nbval: after a cell has failed, the later cells of that notebook are skipped.

Without it, when the cell that starts the lab fails, each later cell waits for its own timeout.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

FAILED_CELL = pytest.StashKey[str]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and item.parent is not None:
        item.parent.stash.setdefault(FAILED_CELL, item.name)
    return report


def pytest_runtest_setup(item: pytest.Item) -> None:
    failed = item.parent.stash.get(FAILED_CELL, None) if item.parent is not None else None
    if failed is not None:
        pytest.skip(f"{failed} failed")

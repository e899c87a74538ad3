"""Tests that run once on every runtime: ``@on_every_runtime``, or ``pytestmark = on_every_runtime`` for a module."""

from __future__ import annotations

import pytest

on_every_runtime = pytest.mark.parametrize(
    "runtime",
    ["local", pytest.param("containers", marks=pytest.mark.containers)],
    indirect=True,
    scope="module",
)
on_containers = pytest.mark.parametrize(
    "runtime",
    [pytest.param("containers", marks=pytest.mark.containers)],
    indirect=True,
    scope="module",
)

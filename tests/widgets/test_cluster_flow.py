from __future__ import annotations

import pytest
from brokerlab.widgets.cluster_flow import DENSITY, dots, flow_sheet, rate_words


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (None, "–"),
        (0.0, "0/s"),
        (0.3, "<1/s"),
        (0.97, "1/s"),
        (42.4, "42/s"),
        (99.4, "99/s"),
        (99.6, "100/s"),
        (123.0, "120/s"),
        (994.0, "990/s"),
        (999.0, "1.0k/s"),
        (1234.0, "1.2k/s"),
        (9949.0, "9.9k/s"),
        (9960.0, "10k/s"),
        (123456.0, "123k/s"),
    ],
)
def test_a_rate_has_two_digits_and_never_misleads(rate: float | None, said: str) -> None:
    assert rate_words(rate) == said


def test_the_more_records_the_denser_the_dots() -> None:
    gaps = [
        int(dots("in", "M0 0V9", rate)[1]["stroke-dasharray"].split()[1])
        for rate in (0.1, 1, 5, 15, 50, 150, 1e6)
    ]
    assert gaps == sorted(gaps, reverse=True) and len(set(gaps)) == len(DENSITY)


def test_every_density_has_its_pace_and_none_moves_without_leave() -> None:
    sheet = flow_sheet()
    allowed = sheet.split("@media")[1]
    for number in range(1, len(DENSITY) + 1):
        assert f".bl-flow-{number}{{" in allowed
    assert "animation" not in sheet.split("@media")[0]

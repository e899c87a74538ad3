"""Run sheets add up, follow README's minutes, and take lessons in order.

That README's table says what the lessons say of themselves is tested where they are read (exercises/test_course.py).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import pytest
from pages import ROOT

SHEETS = ROOT / "docs" / "instructor" / "run-sheets.md"
ROW = re.compile(r"^\| (\d\d):(\d\d) \| (\d+)( in all)? \|([^|]*)\|", re.M)
LESSON = re.compile(r"Lesson (\d\d), (.+)")
PLANNED = re.compile(r"^\| (\d\d)(?: ★)? \| \[?([^|\]]+?)(?:\]\([^)]*\))? \| (\d+) \|", re.M)
STEP = 5


@dataclass(frozen=True)
class Row:
    """What begins at a minute of the day and how many minutes it takes; the last row of a sheet is the sum."""

    at: int
    minutes: int
    is_sum: bool
    what: str


def sheets(text: str) -> dict[str, list[Row]]:
    found = {}
    for part in re.split(r"^## ", text, flags=re.M)[1:]:
        rows = [
            Row(60 * int(hour) + int(minute), int(minutes), bool(in_all), what.strip())
            for hour, minute, minutes, in_all, what in ROW.findall(part)
        ]
        if rows:
            found[part.partition("\n")[0]] = rows
    return found


def mistakes(rows: list[Row]) -> list[str]:
    """Return where a sheet does not add up, a sentence each."""
    *parts, last = rows
    found = [
        f"{one.what} begins at {one.at} and the one before ends at {before.at + before.minutes}"
        for before, one in zip(parts, rows[1:], strict=True)
        if one.at != before.at + before.minutes
    ]
    if not last.is_sum or last.minutes != sum(one.minutes for one in parts):
        found.append("the last row is not the sum")
    return found


def class_minutes(alone: int) -> int:
    """Return the minutes in a room: a third of those alone, the exercises, takes half as long again."""
    return STEP * math.ceil(round(alone * 7 / 6 / STEP, 6))


LESSONS = {
    number: (title, int(minutes))
    for number, title, minutes in PLANNED.findall((ROOT / "README.md").read_text(encoding="utf-8"))
}
ALL = sheets(SHEETS.read_text(encoding="utf-8"))


def test_there_are_half_a_day_one_day_and_two() -> None:
    assert list(ALL) == ["Half a day", "One day", "Two days, the first", "Two days, the second"]
    assert [rows[-1].minutes for rows in ALL.values()] == [240, 480, 480, 480]


@pytest.mark.parametrize("name", ALL)
def test_a_sheet_adds_up(name: str) -> None:
    assert mistakes(ALL[name]) == []


@pytest.mark.parametrize("name", ALL)
def test_nobody_sits_longer_than_two_hours_and_a_half(name: str) -> None:
    sitting = 0
    for row in ALL[name][:-1]:
        sitting = 0 if row.what in ("Break", "Lunch") else sitting + row.minutes
        assert sitting <= 150, row


def test_lessons_are_called_and_take_what_readme_says() -> None:
    for rows in ALL.values():
        for row in rows:
            if match := LESSON.fullmatch(row.what):
                title, minutes = LESSONS[match[1]]
                assert (match[2], row.minutes) == (title, class_minutes(minutes))


def test_two_days_have_every_lesson_once_and_each_sheet_has_its_own_in_order() -> None:
    taken = {
        name: [match[1] for row in rows if (match := LESSON.fullmatch(row.what))]
        for name, rows in ALL.items()
    }
    assert all(numbers == sorted(set(numbers)) for numbers in taken.values())
    two_days = taken["Two days, the first"] + taken["Two days, the second"]
    assert two_days == list(LESSONS)


def test_what_does_not_add_up_is_found() -> None:
    rows = sheets("## A\n| 09:00 | 20 | x | |\n| 09:25 | 10 | y | |\n| 09:35 | 31 in all | | |\n")
    assert len(mistakes(rows["A"])) == 2
    assert class_minutes(30) == 35 and class_minutes(45) == 55 and class_minutes(15) == 20

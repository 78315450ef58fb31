"""Strips, timelines, tables and harmless text, drawn from values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import typer
from rich.cells import cell_len

from mulligan.cli import parsing
from mulligan.cli.strip import MAX_ROWS, Cell, draw
from mulligan.cli.table import Column, cut, lines
from mulligan.cli.timeline import cells
from mulligan.core.job import JobStatus
from mulligan.core.plain import one_line, plain, without_control
from mulligan.core.schedule import windows
from mulligan.core.spans import Span

SUCCESS, FAILURE, PENDING = JobStatus.SUCCESS, JobStatus.FAILURE, JobStatus.PENDING


def strip_of(start: str, end: str, every: str = "1d", tz: str = "UTC", width: int = 80, failed: int = -1) -> list[str]:
    made = [Cell(*window, FAILURE if place == failed else SUCCESS) for place, window in enumerate(windows(start, end, every, tz))]
    return [line.plain for line in draw(made, tz, width)]


def test_a_day_stands_in_the_column_of_its_date_also_where_the_month_began_earlier() -> None:
    assert strip_of("2024-01-30", "2024-02-03") == [f"2024-01  {' ' * 29}■■", "2024-02  ■■", "■ succeeded"]


def test_days_with_23_and_25_hours_are_days_of_their_month() -> None:
    drawn = strip_of("2024-03-01", "2024-04-01", tz="Europe/Zurich")
    assert drawn == [f"2024-03  {'■' * 31}", "■ succeeded"]


def test_hours_are_wrapped_by_day() -> None:
    drawn = strip_of("2024-03-01", "2024-03-02T06:00", every="1h", failed=25)
    assert drawn == [f"2024-03-01  {'■' * 24}", "2024-03-02  ■✗■■■■", "■ succeeded  ✗ failed"]


def test_other_windows_stand_one_after_the_other() -> None:
    assert strip_of("2024-03-01", "2024-03-02", every="6h") == ["2024-03-01 00:00  ■■■■", "■ succeeded"]


def test_a_strip_of_very_many_windows_stays_on_a_screen_and_loses_no_failure() -> None:
    drawn = strip_of("2000-01-01", "2020-01-01", failed=5_000)
    assert len(drawn) <= MAX_ROWS + 2
    assert drawn[0].startswith("each cell stands for")
    assert sum(line.count("✗") for line in drawn[:-1]) == 1
    assert max(map(len, drawn)) <= 80


def test_each_status_has_a_shape_of_its_own() -> None:
    made = [Cell(place * 86_400_000, (place + 1) * 86_400_000, status) for place, status in enumerate(JobStatus)]
    drawn = [line.plain for line in draw(made, "UTC", 80)]
    assert len(set(drawn[0].split()[1])) == 6
    assert drawn[1].count("  ") == 5


def test_a_run_too_short_to_see_still_has_a_cell() -> None:
    row = cells([Span(0, 1_000_000, "waiting"), Span(1_000_000, 1_000_001, "running")], 0, 1_000_001, 20)
    assert row == ["waiting"] * 19 + ["running"]


def test_time_before_an_attempt_that_nobody_waited_stays_empty() -> None:
    assert cells([Span(50, 100, "running")], 0, 100, 10) == [None] * 5 + ["running"] * 5


def test_a_table_cuts_what_is_loose_and_never_an_id() -> None:
    drawn = [line.plain for line in lines([Column("ID", fixed=True), Column("TEXT")], [["123456789-123456789", "x" * 90]], 40)]
    assert drawn[1] == f"123456789-123456789  {'x' * 18}…"
    assert len(drawn) == 2


def test_wide_characters_count_as_two() -> None:
    drawn = [line.plain for line in lines([Column("KEY"), Column("N", right=True)], [["日本語" * 10, "7"]], 20)]
    assert cell_len(drawn[1]) <= 20
    assert cell_len(cut("日本語", 4)) <= 4


def test_harmless_text_keeps_newlines_and_shows_the_rest() -> None:
    assert plain("a\tb\n\x1b[2J\x07\x9b\u202e\ud800") == "a\tb\n\\x1b[2J\\x07\\x9b\\u202e\\ud800"
    assert one_line("a\n\n  b\x00") == "a b\\x00"
    assert one_line(None) == ""


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("10 %\r20 %\r\n", "10 %\n20 %\n"),
        ("\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("before \x1b]0;never ended", "before ]0;never ended"),
        ("\x1b", ""),
        ("tab\tbell\x07 café ■", "tab\tbell café ■"),
    ],
)
def test_logs_lose_what_would_steer_a_terminal_and_no_text(raw: str, shown: str) -> None:
    assert without_control(raw) == shown


def test_arguments_are_json_or_bare_words() -> None:
    given = ["a=1", "b=1.5", "c=true", "d=null", 'e=["x"]', "f=word", "g=2024-03-07", "h=a=b", "i=", 'j="1"', "k=NaN"]
    assert parsing.arguments(given) == {
        "a": 1, "b": 1.5, "c": True, "d": None, "e": ["x"], "f": "word", "g": "2024-03-07", "h": "a=b", "i": "", "j": "1",
        "k": "NaN",
    }  # fmt: skip


@pytest.mark.parametrize("wrong", [f"a={'9' * 5000}", f"a={'[' * 100_000}", "=1", "a-b=1", "a={'x': 1}"])
def test_an_argument_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(typer.BadParameter):
        parsing.arguments([wrong])


def test_a_time_without_a_zone_is_utc() -> None:
    assert parsing.moment("2024-03-07T06:00", "--start-at") == datetime(2024, 3, 7, 6, tzinfo=UTC)
    zurich = parsing.moment("2024-03-07T06:00+01:00", "--start-at")
    assert zurich is not None
    assert zurich.utcoffset() == timedelta(hours=1)
    assert parsing.duration_or_moment("90m", "--expires") == 5400

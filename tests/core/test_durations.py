"""Durations as users write them."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mulligan.core.durations import MAX_SECONDS, seconds, words
from mulligan.core.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (0, 0),
        (1.5, 1.5),
        ("90", 90),
        ("15m", 900),
        ("1.5h", 5400),
        ("2h30m", 9000),
        (" 2h 30m ", 9000),
        ("250ms", 0.25),
        ("1w", 604800),
        (timedelta(days=2), 172800),
    ],
)
def test_a_duration_is_read_in_every_form(written: object, meant: float) -> None:
    assert seconds(written) == meant  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "written",
    [-1, "-5", "soon", "", "5 parsecs", "m", None, True, [5], float("nan"), float("inf"), "inf", 10**400, timedelta(-1)],
)
def test_what_is_no_duration_is_refused_by_name(written: object) -> None:
    with pytest.raises(ConfigError, match=r"^timeout: "):
        seconds(written, "timeout")  # type: ignore[arg-type]


def test_more_than_ten_years_is_taken_for_a_mistake() -> None:
    assert seconds(MAX_SECONDS) == MAX_SECONDS
    with pytest.raises(ConfigError, match="ten years"):
        seconds(MAX_SECONDS + 1)


@pytest.mark.parametrize(
    ("duration_s", "said"),
    [(0, "0 s"), (0.25, "250 ms"), (45, "45 s"), (125, "2 min 5 s"), (7500, "2 h 5 min"), (90061, "1 d 1 h"), (59.6, "1 min")],
)
def test_a_duration_is_said_by_its_two_largest_units(duration_s: float, said: str) -> None:
    assert words(duration_s) == said


@given(st.floats(0, MAX_SECONDS))
def test_every_duration_can_be_said(duration_s: float) -> None:
    assert words(duration_s)


@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_a_clear_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert 0 <= seconds(text) <= MAX_SECONDS

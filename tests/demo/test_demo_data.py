"""The year is split whole, once, and changed on two days only."""

from __future__ import annotations

import importlib.util
from datetime import date
from pathlib import Path

import pytest

from mulligan.core.errors import ConfigError
from mulligan.demo.data import CHANGED_DAYS, DAYS, Source, find, prepare


def lines(folder: Path, kind: str) -> dict[str, list[str]]:
    return {path.stem: path.read_text(encoding="utf-8").splitlines() for path in (folder / kind).iterdir()}


def test_every_flight_of_the_year_is_in_the_file_of_its_day(prepared: Path) -> None:
    days = lines(prepared, "flights")
    assert sorted(days) == list(DAYS)
    assert len(DAYS) == 365
    assert sum(len(rows) - 1 for rows in days.values()) == 336_776
    for day, (_, *rows) in days.items():
        assert {date(*map(int, row.split(",")[:3])).isoformat() for row in rows} == {day}


def test_every_hour_of_weather_is_in_the_file_of_its_day(prepared: Path) -> None:
    days = lines(prepared, "weather")
    assert sum(len(rows) - 1 for rows in days.values()) == 26_115
    for day, (_, *rows) in days.items():
        assert {date(*map(int, row.split(",")[1:4])).isoformat() for row in rows} <= {day}


def test_only_two_days_have_the_renamed_column(prepared: Path) -> None:
    headers = {day: rows[0].split(",") for day, rows in lines(prepared, "flights").items()}
    assert sorted(day for day, header in headers.items() if "departure_delay_minutes" in header) == list(CHANGED_DAYS)
    assert sorted(day for day, header in headers.items() if "dep_delay" not in header) == list(CHANGED_DAYS)


def test_preparing_again_has_nothing_to_do(source: Source, prepared: Path) -> None:
    before = (prepared / "complete.json").stat().st_ino
    assert not prepare(source, prepared)
    assert (prepared / "complete.json").stat().st_ino == before


def test_a_folder_that_is_not_complete_is_prepared_anew(source: Source, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    (folder / "flights").mkdir(parents=True)
    (folder / "flights" / "2013-01-01.csv").write_text("half of it")
    assert prepare(source, folder)
    assert len(list((folder / "flights").iterdir())) == 365
    assert len((folder / "flights" / "2013-01-01.csv").read_text().splitlines()) == 843


def test_what_is_missing_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pyarrow" else there(name))
    with pytest.raises(ConfigError, match=r'needs pyarrow: pip install "mulligan\[demo\]"'):
        find()

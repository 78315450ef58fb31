"""The flow computes what the source says, publishes it so that old never replaces new, and the check sees any difference."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from importlib import util
from pathlib import Path
from types import ModuleType

import pandas as pd
import pyarrow.parquet as pq
import pytest

from mulligan.core.job import FailureClass
from mulligan.core.schedule import windows
from mulligan.demo import flow
from mulligan.demo.check import FEATURES, KEYS, differences, expected
from mulligan.demo.data import CHANGED_DAYS, DAYS, TIME_ZONE, Source
from mulligan.demo.faults import MAX_FAULTS
from mulligan.demo.story import BUG, FIX
from mulligan.sdk.loading import load
from mulligan.sdk.window import Window

WITHOUT_WEATHER = "2013-12-31"


@pytest.fixture(scope="session")
def truth(source: Source) -> pd.DataFrame:
    return expected(source)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLIGHTS_FOLDER", str(tmp_path))
    return tmp_path


def compute(module: ModuleType, prepared: Path, day: str) -> flow.File:
    """Do what the task does for one day, with files that were fetched already."""
    bodies = [(prepared / kind / f"{day}.csv").read_bytes() for kind in ("flights", "weather")]
    flights, weather = (module.save(f"raw/{n}/{day}.csv", body, body.count(b"\n") - 1) for n, body in enumerate(bodies))
    part: flow.File = module.features(day, flights, weather)
    module.publish(day, part)
    return part


@pytest.fixture
def fixed_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The flow as it is after the fix was deployed."""
    path = tmp_path / "fixed_flow.py"
    source = Path(flow.__file__).read_text(encoding="utf-8")
    assert source.count(BUG) == 1
    path.write_text(source.replace(BUG, FIX), encoding="utf-8")
    spec = util.spec_from_file_location("fixed_flow", path)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "fixed_flow", module)
    spec.loader.exec_module(module)
    return module


def test_the_windows_of_the_backfill_are_the_days_of_the_data() -> None:
    cut = windows("2013-01-01", "2014-01-01", "1d", TIME_ZONE)
    assert [Window.of_ms(start, end, TIME_ZONE).key for start, end in cut] == list(DAYS)


def test_a_worker_can_load_the_flow_from_a_copy_of_its_file(tmp_path: Path) -> None:
    copy = tmp_path / "flow_of_the_demo.py"
    shutil.copy(flow.__file__, copy)
    task = load([str(copy)])["flight_delays"]
    definition = task.definition()
    assert (definition.timeout_s, definition.offline, definition.online) == (20, True, True)
    assert definition.classify == (("flow_of_the_demo.SchemaChanged", FailureClass.PERMANENT),)
    assert definition.policy.find(FailureClass.PERMANENT) is None
    found = definition.policy.find(FailureClass.UNKNOWN)
    assert found is not None
    assert found[1].max_attempts > 2 * MAX_FAULTS, "a day is two objects, and each may fail so often in one generation"


@pytest.mark.parametrize("day", ["2013-01-01", "2013-03-10", "2013-07-04", "2013-11-03", WITHOUT_WEATHER])
def test_a_partition_holds_what_the_source_gives_for_its_day(day: str, folder: Path, prepared: Path, truth: pd.DataFrame) -> None:
    part = compute(flow, prepared, day)
    table = pq.ParquetFile(part.path).read().to_pandas().set_index(KEYS[1:])
    wanted = truth.loc[day]
    assert part.rows == len(table) == len(wanted)
    pd.testing.assert_frame_equal(table[FEATURES].sort_index(), wanted[FEATURES], check_dtype=False, check_exact=True)


def test_wet_weather_and_cancelled_flights_are_in_the_features(truth: pd.DataFrame) -> None:
    assert truth["cancelled_sum"].sum() == 8_255
    assert truth["count_all"].sum() == 336_776
    assert truth["wet_sum"].sum() > 10_000
    assert truth["wet_delay_mean"].mean() > truth["delay_mean"].mean()


def test_a_renamed_column_is_named_and_nothing_is_written(folder: Path, prepared: Path) -> None:
    with pytest.raises(flow.SchemaChanged, match=r"no column dep_delay among .*departure_delay_minutes"):
        compute(flow, prepared, CHANGED_DAYS[0])
    assert not (folder / "offline").exists()
    assert not (folder / "online.sqlite").exists()


@pytest.mark.parametrize("day", [CHANGED_DAYS[0], "2013-01-01"])
def test_the_fix_reads_both_names(day: str, fixed_flow: ModuleType, folder: Path, prepared: Path, truth: pd.DataFrame) -> None:
    part = compute(fixed_flow, prepared, day)
    assert part.rows == len(truth.loc[day])


def test_an_older_day_never_replaces_a_newer_one_online(folder: Path, prepared: Path) -> None:
    compute(flow, prepared, "2013-05-02")
    with closing(sqlite3.connect(folder / "online.sqlite")) as online:
        newest = online.execute("SELECT * FROM delays ORDER BY carrier, origin").fetchall()
        compute(flow, prepared, "2013-05-01")
        after = {(carrier, origin): row for carrier, origin, *row in online.execute("SELECT * FROM delays")}
    assert all(after[carrier, origin] == row for carrier, origin, *row in newest)


def test_a_raw_file_that_was_changed_since_is_refused(folder: Path) -> None:
    saved = flow.save("raw/a.csv", b"a,b\n1,2\n", rows=1)
    Path(saved.path).write_bytes(b"a,b\n1,3\n")
    with pytest.raises(ValueError, match="is not what was saved"):
        flow.read(saved)


def test_saving_leaves_nothing_unfinished(folder: Path) -> None:
    saved = flow.save("raw/a.csv", b"1", rows=1)
    assert [path.name for path in (folder / "raw").iterdir()] == ["a.csv"]
    assert Path(saved.path).read_bytes() == b"1"


def test_saving_clears_away_what_a_killed_attempt_had_not_finished(folder: Path) -> None:
    for name in (".a.csv.4711", ".b.csv.4711"):
        (folder / "raw").mkdir(exist_ok=True)
        (folder / "raw" / name).write_bytes(b"half")
    flow.save("raw/a.csv", b"1", rows=1)
    assert sorted(path.name for path in (folder / "raw").iterdir()) == [".b.csv.4711", "a.csv"]


@pytest.fixture(scope="session")
def year(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both stores after the whole year was computed by the flow, the changed days by their old column name."""
    folder = tmp_path_factory.mktemp("year")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLIGHTS_FOLDER", str(folder))
        patch.setattr(flow, "DELAY_NAMES", ("dep_delay", "departure_delay_minutes"))
        patch.setattr(os, "fsync", lambda file: None)
        for day in DAYS:
            compute(flow, prepared, day)
    return folder


def drop_a_day(folder: Path) -> str:
    (folder / "offline" / "day=2013-04-05.parquet").unlink()
    return "offline: 2013-04-05 AA EWR is missing"


def copy_a_day_into_another_year(folder: Path) -> str:
    shutil.copy(folder / "offline" / "day=2013-04-05.parquet", folder / "offline" / "day=2014-04-05.parquet")
    return "offline: 2014-04-05 AA EWR should not be there"


def change_an_offline_value(folder: Path) -> str:
    path = folder / "offline" / "day=2013-04-05.parquet"
    table = pq.ParquetFile(path).read().to_pandas()
    table.loc[(table["carrier"] == "AA") & (table["origin"] == "EWR"), "delay_mean"] += 1e-9
    table.to_parquet(path)
    return "offline: delay_mean of 2013-04-05 AA EWR is "


def change_an_online_value(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "online.sqlite")) as online, online:
        (text,) = online.execute("SELECT features FROM delays WHERE carrier = 'UA' AND origin = 'EWR'").fetchone()
        changed = json.dumps(json.loads(text) | {"delay_max": None})
        online.execute("UPDATE delays SET features = ? WHERE carrier = 'UA' AND origin = 'EWR'", [changed])
    return "online: delay_max of 2013-12-31 UA EWR is nan"


def publish_an_older_day_online(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "online.sqlite")) as online, online:
        online.execute("UPDATE delays SET day = '2013-01-05' WHERE carrier = 'UA' AND origin = 'EWR'")
    return "online: 2013-01-05 UA EWR should not be there"


def test_the_year_computed_day_by_day_equals_the_year_computed_in_one_go(truth: pd.DataFrame, year: Path) -> None:
    found, compared = differences(truth, year)
    assert found == []
    assert compared > 80_000


@pytest.mark.parametrize(
    "damage",
    [drop_a_day, copy_a_day_into_another_year, change_an_offline_value, change_an_online_value, publish_an_older_day_online],
)
def test_the_check_sees(damage: Callable[[Path], str], truth: pd.DataFrame, year: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(year, folder, ignore=shutil.ignore_patterns("raw"))
    message = damage(folder)
    found, _ = differences(truth, folder)
    assert any(each.startswith(message) for each in found)
    assert 0 < len(found) < 100

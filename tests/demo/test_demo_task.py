"""The task of the flow, run as a worker runs it, against the object store: each fault raises, saved steps stay saved."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

import pytest

from mulligan.core.attempt import AttemptInfo, StopCause
from mulligan.core.schedule import windows
from mulligan.demo import flow
from mulligan.demo.data import CHANGED_DAYS, DAYS, TIME_ZONE
from mulligan.demo.faults import faults

StartStore = Callable[[int], str]
SEED = 7


class Attempts:
    """What a worker is to the attempts of one work item: it keeps their steps and hears how many rows they wrote."""

    def __init__(self, day: str) -> None:
        start, end = list(windows("2013-01-01", "2014-01-01", "1d", TIME_ZONE))[DAYS.index(day)]
        self.day = day
        self.window = (start, end, TIME_ZONE)
        self.steps: dict[str, str] = {}
        self.rows: list[int] = []
        self.count = 0

    def run(self) -> int:
        self.count += 1
        info = AttemptInfo("1", "run", self.day, 0, self.count, 1, self.window, None, tuple(self.steps.items()))
        result = flow.flight_delays.execute("{}", info, self)
        assert isinstance(result, str)
        return int(result)

    def call(self, name: str, payload: str) -> str:
        assert name == "step"
        step = json.loads(payload)
        self.steps[step["key"]] = step["value"]
        return "null"

    def output(self, rows: int) -> None:
        self.rows.append(rows)

    def progress(self, done: float, total: float) -> None: ...
    def touch(self) -> None: ...
    def stopping(self) -> StopCause | None: ...
    def time_left(self) -> float | None: ...
    def on_stop(self, callback: Callable[[], None]) -> None: ...


@pytest.fixture
def url(start_store: StartStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = start_store(SEED)
    monkeypatch.setenv("FLIGHTS_URL", url)
    monkeypatch.setenv("FLIGHTS_FOLDER", str(tmp_path))
    return url


def asked(url: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{url}/stats") as response:  # noqa: S310 - our own server
        counts: dict[str, dict[str, int]] = json.load(response)
    return counts["asked"]


def test_a_day_gets_through_all_its_faults_and_fetches_each_object_once(url: str, tmp_path: Path) -> None:
    day = next(day for day in DAYS if faults(SEED, f"flights/{day}.csv") and faults(SEED, f"weather/{day}.csv"))
    plans = {name: faults(SEED, name) for name in (f"flights/{day}.csv", f"weather/{day}.csv")}
    attempts = Attempts(day)
    for _ in range(sum(map(len, plans.values()))):
        with pytest.raises((OSError, HTTPException)):
            attempts.run()
    written = attempts.run()
    assert attempts.rows == [written]
    assert asked(url) == {name: len(plan) + 1 for name, plan in plans.items()}
    assert (tmp_path / "offline" / f"day={day}.parquet").exists()


def test_after_the_fix_a_failed_day_is_computed_without_another_download(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(CHANGED_DAYS[1])
    for _ in range(8):
        try:
            attempts.run()
        except flow.SchemaChanged:
            break
        except (OSError, HTTPException):
            continue
    before = asked(url)
    assert len(before) == 2
    monkeypatch.setattr(flow, "DELAY_NAMES", ("dep_delay", "departure_delay_minutes"))
    assert attempts.run() > 0
    assert asked(url) == before

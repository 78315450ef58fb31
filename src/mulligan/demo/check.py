"""Checks the demo's result: computes all features anew, the whole year in one go with pandas, and compares every value."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from mulligan.demo.data import DAYS, Source

KEYS = ["day", "carrier", "origin"]
FEATURES = ["count_all", "delay_mean", "delay_max", "cancelled_sum", "wet_sum", "wet_delay_mean", "visib_min"]


def expected(source: Source, days: int = len(DAYS)) -> Any:
    """Return the features of the first days as a data frame indexed by day, carrier and origin, straight from the source."""
    import pandas as pd

    flights = pd.read_csv(source.flights)
    weather = pd.read_csv(source.weather, dtype={"visib": str})
    weather["visib"] = weather["visib"].map(float)  # not every version of pandas reads decimals to the last bit
    flights["day"] = pd.to_datetime(flights[["year", "month", "day"]]).dt.strftime("%Y-%m-%d")
    flights = flights[flights["day"] <= DAYS[days - 1]]
    hours = weather[["origin", "time_hour", "precip", "visib"]]
    joined = flights.merge(hours, on=["origin", "time_hour"], how="left", validate="many_to_one")
    joined["cancelled"] = joined["dep_delay"].isna()
    joined["wet"] = joined["precip"] > 0
    joined["wet_delay"] = joined["dep_delay"].where(joined["wet"])
    groups = joined.groupby(KEYS)
    return pd.DataFrame(
        {
            "count_all": groups.size(),
            "delay_mean": groups["dep_delay"].mean(),
            "delay_max": groups["dep_delay"].max(),
            "cancelled_sum": groups["cancelled"].sum(),
            "wet_sum": groups["wet"].sum(),
            "wet_delay_mean": groups["wet_delay"].mean(),
            "visib_min": groups["visib"].min(),
        }
    )


def differences(truth: Any, folder: Path) -> tuple[list[str], int]:
    """Compare both stores with what is `expected`; return what differs, in words, and how many values were compared.

    Delays are whole minutes, so sums, and with them means, are exact in any order: values must be equal, not close.
    """
    newest = truth.reset_index().sort_values("day").groupby(KEYS[1:]).tail(1).set_index(KEYS)
    found = _compare("offline", truth, _offline(folder)) + _compare("online", newest, _online(folder))
    return found, (len(truth) + len(newest)) * len(FEATURES)


def _offline(folder: Path) -> Any:
    import pandas as pd
    import pyarrow.parquet as pq

    parts = sorted((folder / "offline").glob("day=*.parquet"))
    tables = [pq.ParquetFile(part).read().to_pandas().assign(day=part.stem.removeprefix("day=")) for part in parts]
    return (pd.concat(tables) if tables else pd.DataFrame(columns=[*KEYS, *FEATURES])).set_index(KEYS)


def _online(folder: Path) -> Any:
    import pandas as pd

    path = folder / "online.sqlite"
    if not path.exists():
        return pd.DataFrame(columns=[*KEYS, *FEATURES]).set_index(KEYS)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as online:
        rows = online.execute("SELECT carrier, origin, day, features FROM delays").fetchall()
    values = [{"carrier": carrier, "origin": origin, "day": day, **json.loads(text)} for carrier, origin, day, text in rows]
    return pd.DataFrame(values, columns=[*KEYS, *FEATURES]).set_index(KEYS)


def _compare(store: str, truth: Any, actual: Any) -> list[str]:
    missing = truth.index.difference(actual.index)
    extra = actual.index.difference(truth.index)
    found = [f"{store}: {_name(key)} is missing" for key in missing]
    found += [f"{store}: {_name(key)} should not be there" for key in extra]
    found += [f"{store}: {_name(key)} is there twice" for key in actual.index[actual.index.duplicated()].unique()]
    if not actual.index.is_unique:
        return found
    both = truth.index.intersection(actual.index)
    for feature in FEATURES:
        want, have = truth.loc[both, feature].astype(float), actual.loc[both, feature].astype(float)
        differ = (want != have) & ~(want.isna() & have.isna())
        found += [f"{store}: {feature} of {_name(key)} is {have[key]}, not {want[key]}" for key in both[differ]]
    return found


def _name(key: tuple[str, ...]) -> str:
    return " ".join(key)

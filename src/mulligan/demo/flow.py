"""How late do flights leave New York? For each day: fetch flights and weather, compute features, publish them."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from mulligan import INFRASTRUCTURE, PERMANENT, RATE_LIMITED, TIMEOUT, TRANSIENT, UNKNOWN, Context, Policy, Retry, Window, task

DELAY_NAMES = ("dep_delay",)
FEATURES = [("delay", "mean"), ("delay", "max"), ("cancelled", "sum"), ("wet", "sum"), ("wet_delay", "mean"), ("visib", "min")]


class SchemaChanged(Exception):
    """A file does not have the columns that we know."""


@dataclass(frozen=True)
class File:
    """A file that a step wrote: small enough to be saved as its result."""

    path: str
    sha256: str
    rows: int


@task(
    retries=Policy(
        {
            INFRASTRUCTURE: Retry(max_attempts=100),
            (TRANSIENT, RATE_LIMITED, TIMEOUT, UNKNOWN): Retry(max_attempts=10, delay=0.2, factor=2, max_delay=2),
        }
    ),
    classify={SchemaChanged: PERMANENT},
    timeout="20s",
    offline=True,
    online=True,
)
def flight_delays(ctx: Context, window: Window) -> int:
    """Compute one day's delays for each carrier and origin; return how many rows were written."""
    day = window.key
    flights = ctx.step(download, f"flights/{day}.csv")
    weather = ctx.step(download, f"weather/{day}.csv")
    part = ctx.step(features, day, flights, weather)
    ctx.output(rows=part.rows)  # said before the online store is touched: from here on an overwrite needs thought
    publish(day, part)
    return part.rows


def download(name: str) -> File:
    """Fetch an object into the raw folder. A step: recover does not fetch it again."""
    url = f"{os.environ['FLIGHTS_URL']}/{name}"
    with urllib.request.urlopen(url, timeout=1.0) as response:  # noqa: S310 - our own object store
        body = response.read()  # read whole, so that a body cut short raises IncompleteRead
    return save(f"raw/{name}", body, rows=body.count(b"\n") - 1)


def features(day: str, flights: File, weather: File) -> File:
    """Join the day's flights with the weather of their hour, and write the offline partition."""
    table = with_delay(read(flights)).join(with_numbers(read(weather)), keys=["origin", "time_hour"])
    wet = pc.fill_null(pc.greater(table["precip"], 0), False)
    table = table.append_column("cancelled", pc.is_null(table["delay"]).cast(pa.int64()))
    table = table.append_column("wet", wet.cast(pa.int64()))
    table = table.append_column("wet_delay", pc.if_else(wet, table["delay"], None))
    groups = table.group_by(["carrier", "origin"]).aggregate([([], "count_all"), *FEATURES])
    groups = groups.sort_by([("carrier", "ascending"), ("origin", "ascending")])
    sink = pa.BufferOutputStream()
    pq.write_table(groups, sink)
    return save(f"offline/day={day}.parquet", sink.getvalue(), rows=groups.num_rows)


def with_delay(flights: pa.Table) -> pa.Table:
    """Reduce flights to what is used here, with the delay at departure as `delay`."""
    name = next((name for name in DELAY_NAMES if name in flights.column_names), None)
    if name is None:
        raise SchemaChanged(f"no column {' or '.join(DELAY_NAMES)} among {', '.join(flights.column_names)}")
    table = flights.select(["carrier", "origin", "time_hour"])
    return table.append_column("delay", flights[name].cast(pa.float64()))


def with_numbers(weather: pa.Table) -> pa.Table:
    """Reduce the weather to what is used here, as numbers also on a day without a single observation."""
    columns = {name: weather[name].cast(pa.float64()) for name in ("precip", "visib")}
    return pa.table({"origin": weather["origin"], "time_hour": weather["time_hour"], **columns})


def publish(day: str, part: File) -> None:
    """Upsert the features into the online store, which holds the newest of each carrier and origin."""
    rows = [(row.pop("carrier"), row.pop("origin"), day, json.dumps(row)) for row in pq.read_table(part.path).to_pylist()]
    with closing(sqlite3.connect(folder() / "online.sqlite", timeout=15)) as online, online:
        online.execute("BEGIN IMMEDIATE")
        online.execute("CREATE TABLE IF NOT EXISTS delays (carrier, origin, day, features, PRIMARY KEY (carrier, origin))")
        # Days arrive in any order, some of them twice: an older one must never replace a newer one.
        online.executemany(
            "INSERT INTO delays VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET day = excluded.day, features = excluded.features WHERE excluded.day >= delays.day",
            rows,
        )


def folder() -> Path:
    """Return where everything is kept."""
    return Path(os.environ["FLIGHTS_FOLDER"])


def read(file: File) -> pa.Table:
    """Read a CSV that was saved, and make sure that it is what was saved."""
    body = Path(file.path).read_bytes()
    if hashlib.sha256(body).hexdigest() != file.sha256:
        raise ValueError(f"{file.path} is not what was saved: retry with type='restart' to fetch it again")
    texts = {"origin": pa.string(), "time_hour": pa.string()}  # what is joined on has a type even where no row shows it
    return csv.read_csv(pa.BufferReader(body), convert_options=csv.ConvertOptions(column_types=texts))


def save(name: str, body: bytes, rows: int) -> File:
    """Write a file at once and for good: whoever looks sees all of it or nothing."""
    path = folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with unfinished.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    for each in path.parent.glob(f".{path.name}.*"):  # of attempts that were killed while they wrote
        each.unlink(missing_ok=True)
    return File(str(path), hashlib.sha256(body).hexdigest(), rows)

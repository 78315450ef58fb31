"""Nightly retraining: the flights of some weeks → a model of their delays → its scores → one row in a registry.

    mulligan dev retraining.py                 # in one terminal
    python retraining.py 2013-03-01            # in another: prints the version that was registered

It needs `pip install 'mulligan[demo]'`. Kill anything at any time: each run makes one model, and registers it once.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from datetime import date, timedelta

import joblib
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_absolute_error

from mulligan import BATCH, Artifact, Context, task, workflow
from mulligan.demo.data import find

NUMBERS = ["month", "day", "hour", "distance", "carrier", "origin"]
HELD_BACK = 7
"""Days at the end of the data that the model does not see, and is judged by."""


@task(retries=BATCH, offline=True)
def load_features(ctx: Context, day: str, days: int) -> Artifact:
    """Take the flights of the days before a day, as numbers that a model reads."""
    with ctx.artifact("features/{run_id}/flights.parquet", inputs={"day": day, "days": days}) as a:
        if not a.exists:
            flights = pd.read_csv(find().flights, usecols=["year", *NUMBERS, "dep_delay"]).dropna()
            flights["date"] = pd.to_datetime(flights[["year", "month", "day"]])
            end = pd.Timestamp(day)
            flights = flights[(flights["date"] >= end - timedelta(days=days)) & (flights["date"] < end)]
            for name in ("carrier", "origin"):
                flights[name] = flights[name].astype("category").cat.codes
            flights.to_parquet(a.path)
    return a.artifact


@task(retries=BATCH, offline=True)
def train(ctx: Context, features: Artifact, depth: int) -> Artifact:
    """Fit a model to all but the last days."""
    with ctx.artifact("models/{run_id}/model.joblib", inputs={"features": features, "depth": depth}) as a:
        if not a.exists:
            seen, _ = split(features)
            model = HistGradientBoostingRegressor(max_depth=depth, max_iter=40).fit(seen[NUMBERS], seen["dep_delay"])
            joblib.dump(model, a.path)
    return a.artifact


@task(retries=BATCH, offline=True)
def evaluate(model: Artifact, features: Artifact) -> dict[str, float]:
    """Judge a model by the days that it has not seen, beside saying the same of every flight."""
    seen, held_back = split(features)
    with model.open() as file:
        said = joblib.load(file).predict(held_back[NUMBERS])
    true = held_back["dep_delay"]
    plain = mean_absolute_error(true, [seen["dep_delay"].mean()] * len(true))
    return {"error_minutes": mean_absolute_error(true, said), "plain_error_minutes": plain}


@task(retries=BATCH, offline=True, idempotent=True)
def register(ctx: Context, model: Artifact, scores: dict[str, float], registry: str) -> int:
    """Give the model of this run a version, the same however often it is asked for one."""
    with closing(sqlite3.connect(registry, timeout=15)) as store, store:
        store.execute("CREATE TABLE IF NOT EXISTS models (version INTEGER PRIMARY KEY, run_id UNIQUE, uri, sha256, scores)")
        row = (ctx.run_id, model.uri, model.sha256, json.dumps(scores))
        store.execute(
            "INSERT INTO models (run_id, uri, sha256, scores) VALUES (?, ?, ?, ?) ON CONFLICT (run_id) DO UPDATE"
            " SET uri = excluded.uri, sha256 = excluded.sha256, scores = excluded.scores",
            row,
        )
        (version,) = store.execute("SELECT version FROM models WHERE run_id = ?", (ctx.run_id,)).fetchone()
    return int(version)


@workflow(retries=2)
def retrain(day: str, registry: str, days: int = 28, depth: int = 5) -> int:
    """Do all of it, each part a work item of its own; return the version of the model."""
    features = load_features(day, days)
    model = train(features, depth)
    scores = evaluate(model, features)
    return register(model, scores, registry)


def split(features: Artifact) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the days to learn from, and those held back."""
    flights = pd.read_parquet(features.fetch())
    last = flights["date"] > flights["date"].max() - timedelta(days=HELD_BACK)
    return flights[~last], flights[last]


if __name__ == "__main__":
    night = date.fromisoformat(sys.argv[1]).isoformat()
    job = retrain.options(run_id=f"retrain-{night}").submit(night, "models.sqlite")
    print("version", job.wait(progress=True).result())

"""A pipeline for each night: fetch the file of a day, load it, retrain the model. A kill, a 503 or a fix costs what it must.

`mulligan dev examples/nightly.py` in one terminal, `python examples/nightly.py` in another, which brings its object store along.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from urllib.request import urlopen

from mulligan import INFRASTRUCTURE, RATE_LIMITED, TIMEOUT, TRANSIENT, Context, PermanentError, Policy, Retry, task, workflow

STORE = os.environ.get("OBJECT_STORE", "http://127.0.0.1:8642")
FOLDER = Path("nightly")  # of this machine; with workers on several, a place that all of them reach
COLUMNS = ["day", "flight", "delay"]
EPOCHS = 10
AGAIN = Policy(
    {
        (TRANSIENT, RATE_LIMITED, TIMEOUT): Retry(max_attempts=5, delay=0.5, factor=2, max_delay=60),
        INFRASTRUCTURE: Retry(max_attempts=100),  # a worker or its machine died: again at once
    }
)


@task(retries=AGAIN, timeout="3s")
def fetch(day: str) -> str:
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"{day}.csv"
    with urlopen(f"{STORE}/{day}.csv") as answer:  # raises HTTPError, whose status says its class
        file.write_bytes(answer.read())
    return str(file)


@task(retries=AGAIN, timeout="1m")
def load(file: str) -> int:
    header, *rows = [line.split(",") for line in Path(file).read_text("utf-8").splitlines()]
    if header != COLUMNS:
        raise PermanentError(f"the schema changed: {header}")  # no retry helps; a person decides
    Path(file).with_suffix(".json").write_text(json.dumps(rows), "utf-8")  # written anew whole: safe to do twice
    return len(rows)


@task(retries=AGAIN, timeout="1h", concurrency=1)
def retrain(ctx: Context, rows: int) -> str:
    model = FOLDER / f"model-{ctx.run_id}.json"  # one for each run, whatever was retried
    done, weight = ctx.cursor or (0, 0.0)
    for epoch in range(done, EPOCHS):
        weight = train(epoch, weight, rows)
        ctx.checkpoint((epoch + 1, weight))  # saved when it returns: who comes next goes on from here
        ctx.progress(epoch + 1, EPOCHS)
    model.write_text(json.dumps({"weight": weight}), "utf-8")
    return str(model)


@workflow
def nightly(day: str) -> str:
    file = fetch(day)
    rows = load(file)
    return retrain(rows)


def train(epoch: int, weight: float, rows: int) -> float:
    threading.Event().wait(0.2)  # stands for work
    with (FOLDER / "epochs.log").open("a", encoding="utf-8") as log:
        log.write(f"{epoch}\n")
    return weight + 1 / rows


if __name__ == "__main__":
    from object_store import ObjectStore

    day = sys.argv[1] if len(sys.argv) > 1 else "2024-03-07"
    with ObjectStore(int(STORE.rpartition(":")[2])):
        job = nightly.options(run_id=f"nightly-{day}").submit(day)  # the same night again is the same job
        print(job.wait(progress=True).result())

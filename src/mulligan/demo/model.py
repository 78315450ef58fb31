"""The end of the demo: a model is retrained on the flights by a workflow, whose worker is killed while it trains."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from importlib.resources import files
from typing import Any

from mulligan.core.job import TERMINAL, JobStatus
from mulligan.core.submission import Options
from mulligan.demo.processes import DemoFailed, Paths, Processes
from mulligan.demo.state import State

RUN_ID = "retrain-2013-12-31"
DAY = "2014-01-01"
"""The model learns from the weeks before it, however many days of the year the rest of the demo is for."""
LIMIT_S = 180.0
PARTS = ("load_features", "train", "evaluate", "register")


def retrain(client: Any, processes: Processes, state: State, say: Callable[[str], None], save: Callable[[], None]) -> str:
    """Have the workflow run, kill its worker once while it trains, and return what came of it in a line; raises DemoFailed."""
    paths = processes.paths
    paths.retraining.write_text(files("mulligan.demo").joinpath("retraining.py").read_text("utf-8"), encoding="utf-8")
    processes.stop_workers()
    processes.start_worker(paths.retraining)
    say("Retraining a model of the delays: a workflow of four tasks, in retraining.py")
    options = Options(run_id=RUN_ID)
    job = processes.submitted(lambda: client.submit("retrain", day=DAY, registry=str(paths.registry), options=options))
    until = time.monotonic() + LIMIT_S
    seen: set[str] = set()
    while job.refresh().status not in TERMINAL:
        calls = {each.task: each.status for each in job.work_items()[0].calls()}
        for name in PARTS:
            if calls.get(name) is JobStatus.SUCCESS and name not in seen:
                seen.add(name)
                say(f"  {name} is done, and will not be done again")
        if calls.get("train") is JobStatus.STARTED and not state.trainer_killed:
            state.trainer_killed = True
            gone = processes.kill_worker(processes.chance)
            state.workers_killed += 1
            say(f"  kill -9 {gone.process.pid}: the worker, with the workflow and the training in it; another one starts")
            save()
        processes.check()
        if time.monotonic() > until:
            raise DemoFailed(f"the retraining has not ended after {LIMIT_S:.0f} s; see {paths.logs}")
        time.sleep(0.02)
    if job.status is not JobStatus.SUCCESS:
        raise DemoFailed(f"the retraining ended as {job.status}: {job.error_message}")
    return _found(paths, job)


def _found(paths: Paths, job: Any) -> str:
    with closing(sqlite3.connect(paths.registry)) as registry:
        rows = registry.execute("SELECT version, run_id, scores FROM models WHERE run_id = ?", (RUN_ID,)).fetchall()
    models = [each.parent.name for each in (paths.artifacts / "models").rglob("model.joblib")]
    if len(rows) != 1 or models != [RUN_ID]:
        raise DemoFailed(f"there should be one model, registered once: {models}, {rows}")
    scores = json.loads(rows[0][2])
    bodies = len(job.work_items()[0].attempts())
    error, plain = (f"{scores[name]:.1f}" for name in ("error_minutes", "plain_error_minutes"))
    return (
        f"retraining: one model, registered once as version {rows[0][0]}; it misses by {error} minutes, a guess by {plain}; "
        f"the body of the workflow ran {bodies} times, and what it had called and was done ran once"
    )

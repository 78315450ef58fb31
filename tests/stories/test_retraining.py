"""The nightly retraining of the demo, killed at several points: one model for each run, and one version of it."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from story_harness import World

from mulligan import demo

RETRAINING = Path(demo.__file__).with_name("retraining.py")
DEATHS = Path(__file__).with_name("retraining_deaths.py")


@pytest.mark.timeout(240)
def test_a_run_that_is_killed_again_and_again_makes_one_model_and_registers_it_once(
    file_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(RETRAINING.parent)])
    import retraining

    file_world.worker(RETRAINING, DEATHS, processes=1)
    registry = file_world.path("models.sqlite")
    run = retraining.retrain.options(run_id="retrain-2013-03-01")
    job = file_world.client.submit(run, "2013-03-01", registry, 21)
    assert job.wait(200).result() == 1, job.work_items()[0].logs()
    deaths = {each.name for each in file_world.folder.glob("died-after-*")}
    assert len(deaths) == 4
    (item,) = job.work_items()
    assert len(item.attempts()) == 1
    assert sum(len(call.attempts()) for call in item.calls()) == 4 + len(deaths)
    models = file_world.folder / ".mulligan" / "artifacts" / "models"
    assert [each.name for each in models.iterdir()] == ["retrain-2013-03-01"]
    assert sorted(each.name for each in models.rglob("*") if each.is_file() and not each.name.startswith(".")) == [
        "model.joblib",
        "model.joblib.manifest.json",
    ]
    with closing(sqlite3.connect(registry)) as store:
        ((run_id, uri, sha256),) = store.execute("SELECT run_id, uri, sha256 FROM models").fetchall()
    assert run_id == "retrain-2013-03-01"
    assert retraining.Artifact(uri, sha256, (models / run_id / "model.joblib").stat().st_size).fetch().is_file()

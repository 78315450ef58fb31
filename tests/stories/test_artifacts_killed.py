"""Whoever is killed while an artifact is published, at whatever point: there is one version of it in the end, and it is whole."""

from __future__ import annotations

from pathlib import Path

import artifact_tasks
import pytest
from story_harness import World

from mulligan import Artifact, Client, Job, JobStatus
from mulligan.sdk.places import place_of
from s3_server import S3Server

TASKS = Path(artifact_tasks.__file__)


def published(job: Job[Artifact]) -> dict[str, Artifact]:
    """Return what each item has published, and see that it is all there is."""
    artifacts = dict(zip(artifact_tasks.DEATHS, job.results(), strict=True))
    for death, artifact in artifacts.items():
        place = place_of(artifact.uri)
        assert place.content(lambda: None) == (artifact.sha256, artifact.size), death
        assert artifact.sha256.encode() in (place.manifest() or b""), death
        assert place.tags() == [], death
    return artifacts


def story(client: Client) -> None:
    job = client.map(artifact_tasks.publish, artifact_tasks.DEATHS, key=str)
    first = published(job)
    assert job.overwrite() == len(first)
    second = published(job)
    assert not set(first.values()) & set(second.values())
    deaths = {item.key for item in job.work_items() for each in item.attempts() if each.error_type == "signal SIGKILL"}
    assert deaths == set(artifact_tasks.DEATHS) - {"nowhere"}


def test_on_a_disk(file_world: World) -> None:
    file_world.worker(TASKS)
    story(file_world.client)
    models = file_world.folder / ".mulligan" / "artifacts" / "models"
    seen = [each for each in models.rglob("*") if each.is_file() and not each.name.startswith(".")]
    assert len(seen) == 2 * len(artifact_tasks.DEATHS)


def test_in_s3(file_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with S3Server() as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        file_world.worker(TASKS, artifacts=server.bucket())
        story(file_world.client)


def test_recover_repeats_a_step_whose_artifact_is_gone_and_says_so(file_world: World) -> None:
    file_world.worker(TASKS)
    file_world.touch("broken")
    job = file_world.client.submit(artifact_tasks.build, file_world.path("broken"))
    assert job.wait(20).status is JobStatus.FAILURE
    made = file_world.folder / f"made-{job.run_id}"
    made.unlink()
    file_world.remove("broken")
    job.retry(type="recover")
    assert job.result() == made.read_text()
    assert "a saved step is repeated" in job.work_items()[0].logs()

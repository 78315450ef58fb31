"""What operators ask for, on jobs, on single items and on all that match."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import client_tasks
import pytest

from mulligan import JobStatus
from mulligan.client.client import Client
from mulligan.core.errors import NotFound, OverwriteUnsafe, Refused
from mulligan.core.recovery import Verdict
from mulligan.store.rows import AuditRow


def audit(client: Client, action: str) -> list[AuditRow]:
    return [each for each in client.audit(limit=500) if each.action == action]


def test_a_dry_run_tells_what_would_be_done_and_does_nothing(client: Client) -> None:
    job = client.map(client_tasks.even_only, range(5))
    job.wait(20)
    lines = len(audit(client, "recover"))
    planned = job.retry(dry_run=True)
    assert planned == 2
    assert list(planned.examples) == [f"recover {job.id}-1 (FAILURE)", f"recover {job.id}-3 (FAILURE)"]
    assert dict(planned.skipped) == {"is SUCCESS": 3}
    assert job.cancel(dry_run=True) == 0
    assert job.retry_now(dry_run=True) == 0
    assert job.overwrite(dry_run=True) == 3
    assert all(each.generation == 1 for each in job.work_items())
    assert len(audit(client, "recover")) == lines


def test_a_retry_starts_what_failed_once_and_says_who_asked_and_why(client: Client, tmp_path: Path) -> None:
    job = client.submit(client_tasks.until_fixed, str(tmp_path / "fixed"))
    job.wait(20)
    (tmp_path / "fixed").touch()
    assert job.retry(reason="the file is there now") == 1
    assert job.result() == "fixed"
    assert job.retry() == 0, "nothing has failed any more"
    line = next(each for each in audit(client, "recover") if each.target == f"job {job.id}" and each.changed)
    assert (line.reason, line.changed, line.source in ("python", "rest")) == ("the file is there now", 1, True)
    assert line.actor


def test_only_recover_and_restart_are_ways_to_retry(client: Client) -> None:
    job = client.submit(client_tasks.even_only, 1).wait(20)
    with pytest.raises(Refused, match="'recover' or 'restart'"):
        job.retry(type="again")  # type: ignore[arg-type]
    assert job.refresh().status is JobStatus.FAILURE


def test_a_retry_by_somebody_who_saw_an_older_state_does_nothing(client: Client) -> None:
    job = client.submit(client_tasks.even_only, 1).wait(20)
    mine, yours = job.work_items()[0], job.work_items()[0]
    assert mine.retry() == 1
    job.wait(20)
    started = yours.retry()
    assert started == 0
    assert dict(started.skipped) == {"has moved on": 1}
    assert yours.refresh().generation == 2


def test_many_who_retry_one_item_at_once_start_one_generation(client: Client) -> None:
    job = client.submit(client_tasks.even_only, 1).wait(20)
    started: list[int] = []

    def retry(item: Any) -> None:
        started.append(item.retry())

    threads = [threading.Thread(target=retry, args=(each,)) for each in [job.work_items()[0] for _ in range(50)]]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sum(started) == 1
    assert job.wait(20).work_items()[0].generation == 2


def test_retry_now_makes_due_what_waits_and_charges_go_on(client: Client) -> None:
    job = client.submit(client_tasks.fails_for_minutes, "not yet")
    pause = threading.Event()
    for expected in (1, 2):
        for _ in range(2000):
            item = client.work_item(f"{job.id}-0")
            if item.status is JobStatus.RETRY and item.attempt == expected:
                break
            pause.wait(0.01)
        assert job.retry_now() == 1
    for _ in range(2000):
        item = client.work_item(f"{job.id}-0")
        if item.attempt == 3 and item.status is not JobStatus.STARTED:
            break
        pause.wait(0.01)
    assert (item.generation, [each.charged for each in item.attempts()]) == (1, [True] * 3)
    item.cancel()
    assert job.wait(20).status is JobStatus.REVOKED


def test_all_that_match_can_be_retried_at_once(client: Client) -> None:
    jobs = [client.map(client_tasks.even_only, range(start, start + 4)) for start in (1000, 2000)]
    for job in jobs:
        job.wait(20)
    assert client.retry("restart", error="1001 is odd", dry_run=True) == 1
    assert client.retry("restart", job=jobs[0].id, status="FAILURE") == 2
    jobs[0].wait(20)
    assert [each.generation for each in jobs[0].work_items()] == [1, 2, 1, 2]
    assert [each.generation for each in jobs[1].work_items()] == [1, 1, 1, 1]


def test_overwriting_what_is_offline_only_is_safe(client: Client) -> None:
    job = client.backfill(client_tasks.offline, "2041-01-01", "2041-01-05")
    job.wait(20)
    assert job.overwrite(start="2041-01-02", end="2041-01-04") == 2
    job.wait(20)
    assert [each.generation for each in job.work_items()] == [1, 2, 2, 1]


def test_overwriting_what_went_online_is_refused_with_the_evidence(client: Client) -> None:
    job = client.backfill(client_tasks.online, "2041-01-01", "2041-01-03")
    job.wait(20)
    first = job.work_items()[0]
    with pytest.raises(OverwriteUnsafe, match=r"UNSAFE for 1 of 1 .*wrote 3 rows.*accept_risk=True"):
        first.overwrite()
    assert first.refresh().generation == 1
    assert audit(client, "overwrite refused")[0].target == f"item {first.id}"
    planned = first.overwrite(dry_run=True)
    assert planned == 1
    assert planned.judgements[first.id].verdict is Verdict.UNSAFE
    assert first.overwrite(accept_risk=True, reason="the source was corrected") == 1
    job.wait(20)
    assert first.refresh().generation == 2
    accepted = audit(client, "overwrite")[0]
    assert (accepted.reason, accepted.expected) == ("the source was corrected", "SUCCESS, risk accepted")


def test_later_windows_are_run_again_in_order_when_asked_to(client: Client) -> None:
    job = client.backfill(client_tasks.online, "2042-01-01", "2042-01-05")
    job.wait(20)
    second = job.work_items()[1]
    assert second.overwrite(accept_risk=True, forward=True) == 3
    job.wait(20)
    items = job.work_items()
    assert [each.generation for each in items] == [1, 2, 2, 2]
    starts = [each.attempts()[-1].started_at for each in items[1:]]
    assert starts == sorted(starts), "oldest window first"  # type: ignore[type-var]  # all of them have started


def test_overwriting_what_did_not_say_what_it_wrote_is_refused_as_unknown(client: Client) -> None:
    job = client.submit(client_tasks.silent_writer, 1).wait(20)
    with pytest.raises(OverwriteUnsafe, match="UNKNOWN"):
        job.overwrite()


def test_overwriting_leaves_what_failed_alone(client: Client) -> None:
    job = client.map(client_tasks.even_only, range(3))
    job.wait(20)
    started = job.overwrite(accept_risk=True)
    assert (started, dict(started.skipped)) == (2, {"is FAILURE": 1})
    job.wait(20)


def test_cancelling_a_job_ends_what_waits_and_leaves_what_has_ended(client: Client) -> None:
    done = client.submit(client_tasks.add, 1, 2).wait(20)
    assert done.cancel() == 0
    assert done.refresh().status is JobStatus.SUCCESS
    waiting = client.map(client_tasks.add.options(delay=3600), range(3), args={"b": 1})
    assert waiting.cancel(dry_run=True) == 3
    assert waiting.refresh().status is JobStatus.PENDING
    assert waiting.cancel(reason="not needed") == 3
    assert waiting.refresh().status is JobStatus.REVOKED
    assert waiting.cancel() == 0
    assert waiting.retry(dry_run=True) == 3


def test_cancelling_by_filter_takes_items_out_of_their_job(client: Client) -> None:
    job = client.map(client_tasks.add.options(delay=3600), range(3), args={"b": 1})
    assert client.cancel(job=job.id, key="1") == 1
    assert [each.status for each in job.work_items()] == [JobStatus.PENDING, JobStatus.REVOKED, JobStatus.PENDING]
    assert job.cancel() == 2


def test_pausing_a_task_that_nobody_has_published_is_not_found(client: Client) -> None:
    for ask in (client.pause, client.resume):
        with pytest.raises(NotFound, match="no task 'nothing'"):
            ask("nothing")


def test_an_item_explains_itself(client: Client) -> None:
    job = client.submit(client_tasks.even_only, 7).wait(20)
    said = client.explain(f"{job.id}-0")
    for each in ("Failed", "7 is odd", "PERMANENT", "at most once", f"mulligan retry {job.id}-0"):
        assert each in said

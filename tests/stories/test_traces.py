"""Traces, as a receiver of OTLP gets them from real workers and servers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import traced_tasks
from opentelemetry import trace
from otlp_receiver import Received, Receiver, receiving
from story_harness import World

from mulligan.core.access import Role
from mulligan.engine.asking import Asker

TASKS = Path(traced_tasks.__file__)
SECRET = "hunter2-of-the-traces"  # noqa: S105
CALLER = trace.SpanContext(0xABC1, 0xDEF2, is_remote=False, trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED))


@pytest.fixture
def receiver(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver that the workers know by the standard variables."""
    with receiving() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        monkeypatch.setenv("TRACED_SECRET", SECRET)
        yield made


def inside(span: Received) -> str:
    return f"{span.trace}-{span.id}"


def test_a_trace_goes_from_who_submits_through_job_and_item_to_each_attempt(world: World, receiver: Receiver) -> None:
    world.worker(TASKS, secrets="env:TRACED_SECRET")
    with trace.use_span(trace.NonRecordingSpan(CALLER)):
        job = world.client.submit(traced_tasks.flaky, world.path()).wait(20)
    (top,), (item,) = receiver.until("job flaky"), receiver.until("item flaky")
    failed, succeeded = receiver.until("attempt flaky", 2)
    assert (top.trace, top.parent) == (f"{CALLER.trace_id:032x}", f"{CALLER.span_id:016x}")
    assert (item.parent, failed.parent, succeeded.parent) == (top.id, item.id, item.id)
    assert world.lines() == [inside(failed), inside(succeeded)], "the attempt's span is the current one in its body"
    assert failed.facts["error.type"] == failed.events["exception"]["exception.type"] == "ConnectionError"
    assert "hung up on" in (failed.error or "")
    assert failed.events["mulligan.retry"]["mulligan.delay_s"] == item.events["mulligan.wait"]["mulligan.delay_s"] == 0.05
    assert (top.error, item.error, succeeded.error) == (None, None, None)
    assert top.begin <= item.begin <= failed.begin <= failed.end <= succeeded.begin <= succeeded.end <= item.end <= top.end
    assert (item.facts["mulligan.item.id"], top.facts["mulligan.run_id"], top.service) == (f"{job.id}-0", job.run_id, "mulligan")
    assert SECRET not in str(receiver.spans)


def test_what_a_killed_worker_ran_is_told_by_who_finds_it_lost(world: World, receiver: Receiver) -> None:
    first = world.worker(TASKS)
    world.client.submit(traced_tasks.held, world.path(), world.path("go"))
    world.wait_for()
    first.kill()
    world.worker(TASKS)
    (lost,) = receiver.until("attempt held")
    assert world.lines()[:1] == [inside(lost)]
    assert (lost.facts["mulligan.outcome"], bool(lost.error)) == ("LOST", True)
    world.touch("go")
    (item,) = receiver.until("item held")
    assert [each.parent for each in receiver.until("attempt held", 2)] == [item.id, item.id]
    assert item.parent == receiver.until("job held")[0].id


def test_calls_of_a_workflow_and_what_a_task_submits_go_on_with_the_trace(world: World, receiver: Receiver) -> None:
    world.worker(TASKS)
    world.client.submit(traced_tasks.calls, world.path()).wait(20)
    (top,), (body,), (call,) = receiver.until("job calls"), receiver.until("attempt calls"), receiver.until("item eventually")
    (attempt,) = receiver.until("attempt eventually")
    assert (call.trace, call.parent, call.links) == (top.trace, body.parent, [body.id])
    assert attempt.parent == call.id
    assert world.lines() == [inside(body), inside(attempt)]

    world.client.submit(traced_tasks.submits, world.path("other")).wait(20)
    (submitter,), (submitted,) = receiver.until("attempt submits"), receiver.until("job eventually")
    assert (submitted.trace, submitted.parent) == (submitter.trace, submitter.id)
    assert submitted.trace != top.trace


def test_a_retry_by_hand_is_a_job_again_in_the_same_trace(world: World, receiver: Receiver) -> None:
    world.worker(TASKS)
    job = world.client.submit(traced_tasks.flaky, world.path("no/such/folder")).wait(20)
    (top,) = receiver.until("job flaky")
    assert top.error == "1 of 1 work items failed"
    job.retry()
    job.wait(20)
    (again,) = receiver.until("job flaky again")
    first, second = receiver.until("item flaky", 2)
    assert (again.parent, again.trace, second.parent) == (top.id, top.trace, top.id)
    assert first.id != second.id
    assert [each.facts["mulligan.generation"] for each in (first, second)] == [1, 2]
    assert again.begin >= top.end


def test_a_trace_goes_on_through_a_server_and_is_left_out_where_it_is_not_recorded(world: World, receiver: Receiver) -> None:
    world.worker(TASKS)
    key = world.client.services.keys.create("traces", Role.OPERATOR, None, Asker()).text
    url = re.findall(r"url='(http://[^']+)'", world.server().said)[0]
    for last, name in (("00", "silent"), ("01", "told")):
        headers = {"apikey": key, "traceparent": f"00-{'7' * 32}-{'8' * 16}-{last}"}
        body = {"task": "eventually", "args": {"file": world.path(name)}}
        assert httpx.post(f"{url}/api/jobs", json=body, headers=headers).status_code == 201
        world.wait_for(name=name)
        assert world.lines(name)[0].startswith("7" * 32)
    (top,) = receiver.until("job eventually")
    assert (top.trace, top.parent) == ("7" * 32, "8" * 16)
    assert len(receiver.until("attempt eventually")) == 1

"""What the body of a workflow hears of its calls, and when it stops waiting for them."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from mulligan.core.attempt import AttemptInfo
from mulligan.core.definition import Definition
from mulligan.core.errors import ReplayMismatch, TaskFailed
from mulligan.core.job import JobStatus, Reason
from mulligan.core.replay import MANY, Past
from mulligan.core.signals import Stopped
from mulligan.core.submission import NewItem, Options, Submission
from mulligan.sdk.calls import CallBackend
from mulligan.testing.factories import a_definition
from mulligan.worker.executors.bodies.channel import BodyChannel
from mulligan.worker.executors.interface import Calls, Report

ROUND = 2 * MANY
LOAD = a_definition("load")
DIGEST = hashlib.sha256(b"{}\n").hexdigest()[:32]


def past(place: str, status: JobStatus, round: int = ROUND, **changes: Any) -> Past:
    return Past(place, f"9-{place}", "load", "d", round, status, Reason.BUDGET_SPENT)._replace(**changes)


def a_channel(*calls: Past) -> tuple[BodyChannel, list[Report]]:
    reports: list[Report] = []
    channel = BodyChannel(1, ROUND, lambda: None, reports.append)
    for each in calls:
        channel.arrived(each)
    return channel, reports


def a_backend(channel: BodyChannel, *calls: Past) -> CallBackend:
    info = AttemptInfo("7", "run", "0", 0, 1, 2, None, None, (), round=ROUND, calls=calls)
    return CallBackend("workflow 'w'", channel, None, info)


def submission(*arguments: str, definition: Definition = LOAD, kind: Any = "submit", **options: Any) -> Submission:
    items = [NewItem(str(number), each) for number, each in enumerate(arguments)]
    return Submission(definition, kind, items, Options(**options))


def test_what_failed_before_a_call_was_made_again_is_not_what_the_body_waits_for() -> None:
    before = past("1", JobStatus.FAILURE, ROUND - 1)
    channel, _ = a_channel(before)
    a_backend(channel, before._replace(digest=DIGEST)).take(submission("{}"))
    assert channel.ended("1") is None
    channel.arrived(before._replace(digest=DIGEST))
    assert channel.ended("1") is None, "the news of it came late"
    channel.arrived(past("1", JobStatus.FAILURE, digest=DIGEST))
    assert channel.ended("1") is not None


def test_a_call_that_was_under_way_when_its_workflow_was_retried_and_fails_then_is_made_again() -> None:
    before = past("1", JobStatus.STARTED, ROUND - MANY, digest=DIGEST)
    channel, reports = a_channel(before)
    backend = a_backend(channel, before)
    call = backend.take(submission("{}"))
    assert reports == []
    failed: list[BaseException] = []

    def body() -> None:
        try:
            call.result()
        except TaskFailed as error:
            failed.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    channel.arrived(before._replace(status=JobStatus.FAILURE))
    until(lambda: len(reports) == 1)
    channel.arrived(past("1", JobStatus.FAILURE, digest=DIGEST))
    thread.join(10)
    assert len(failed) == 1


def until(come_true: Callable[[], bool]) -> None:
    ends, pause = time.monotonic() + 10, threading.Event()
    while not come_true():
        assert time.monotonic() < ends
        pause.wait(0.005)


def test_a_wait_ends_when_the_last_of_its_calls_has_ended() -> None:
    channel, _ = a_channel()
    ended = threading.Event()
    threading.Thread(target=lambda: (channel.wait(["1", "2"]), ended.set()), daemon=True).start()
    channel.arrived(past("2", JobStatus.SUCCESS))
    assert not ended.is_set()
    channel.arrived(past("1", JobStatus.REVOKED))
    assert ended.wait(10)


def test_a_wait_ends_when_the_body_is_asked_to_stop_and_so_does_every_later_one() -> None:
    channel, _ = a_channel()
    raised: list[BaseException] = []

    def body() -> None:
        try:
            channel.wait(["1"])
        except Stopped as error:
            raised.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    channel.stop("cancel")
    thread.join(10)
    assert [type(each) for each in raised] == [Stopped]
    with pytest.raises(Stopped):
        channel.wait(["2"])
    with pytest.raises(Stopped):
        channel.make([])


def test_calls_that_could_not_be_made_are_waited_for_by_nobody() -> None:
    before = (past("1.1", JobStatus.SUCCESS, digest="another"),)
    channel, reports = a_channel(*before)
    backend = a_backend(channel, *before)
    with pytest.raises(ReplayMismatch, match=r"call number 1\.1"):
        backend.take(submission("{}", "{}", kind="map"))
    backend.wait_for_all()
    assert reports == []


def test_a_workflow_waits_for_what_it_called_before_also_where_it_does_not_come_so_far_again() -> None:
    before = (past("5", JobStatus.STARTED),)
    channel, _ = a_channel(*before)
    backend = a_backend(channel, *before)
    ended = threading.Event()
    threading.Thread(target=lambda: (backend.wait_for_all(), ended.set()), daemon=True).start()
    assert not ended.is_set()
    channel.arrived(past("5", JobStatus.SUCCESS))
    assert ended.wait(10)


def test_the_calls_of_a_map_are_made_at_once_each_at_a_place_of_its_own() -> None:
    channel, reports = a_channel()
    a_backend(channel).take(submission('{"x":1}', '{"x":2}', kind="map"))
    (report,) = reports
    assert isinstance(report, Calls)
    assert [(each.place, each.item.key, each.again) for each in report.calls] == [
        ("1.0", "0.load-1.0", None),
        ("1.1", "0.load-1.1", None),
    ]
    assert len({each.digest for each in report.calls}) == 2


def test_a_call_with_a_key_is_known_by_that_wherever_it_is_made() -> None:
    before = (past("=eu", JobStatus.FAILURE, ROUND - 1),)
    channel, reports = a_channel(*before)
    backend = a_backend(channel, *before)
    backend.take(submission("{}"))
    backend.take(submission("{}", key="eu"))
    places = [each.place for report in reports if isinstance(report, Calls) for each in report.calls]
    assert places == ["1", "=eu"]

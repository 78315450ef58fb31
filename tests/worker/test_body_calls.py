"""What a body makes of a call of an earlier round that had not ended when it was replayed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest

from mulligan.core.attempt import AttemptInfo, StopCause
from mulligan.core.errors import TaskFailed
from mulligan.core.job import FailureClass, ItemKey, JobStatus, Reason
from mulligan.core.replay import MANY, Past
from mulligan.core.submission import NewItem, Submission
from mulligan.sdk.calls import CallBackend
from mulligan.testing.factories import a_definition
from mulligan.worker.bodies import Bodies
from mulligan.worker.executors.bodies.channel import BodyChannel
from mulligan.worker.executors.interface import Calls, Report

BEFORE, NOW = MANY, 2 * MANY
Get = Callable[[CallBackend], Any]


def sync(backend: CallBackend) -> Any:
    return backend.take(a_call()).result()


def in_a_coroutine(backend: CallBackend) -> Any:
    async def body() -> Any:
        return await backend.take(a_call())

    return asyncio.run(body())


def unwaited(backend: CallBackend) -> Any:
    call = backend.take(a_call())
    backend.wait_for_all()
    return call.result()


def a_call() -> Submission:
    return Submission(a_definition("load"), "submit", [NewItem("0", "{}")])


class Running:
    """A body that runs in a thread."""

    def __init__(self, get: Get) -> None:
        self.reports: SimpleQueue[Report] = SimpleQueue()
        self.result: Any = None
        self.channel = BodyChannel(1, NOW, None, self.reports.put)
        self.going = a_past(JobStatus.STARTED)
        info = AttemptInfo("1", "run", "0", 0, 1, 2, None, None, (), round=NOW, calls=(self.going,))
        backend = CallBackend("flow", self.channel, None, info)
        self.thread = threading.Thread(target=self._run, args=(get, backend), daemon=True)
        self.thread.start()

    def _run(self, get: Get, backend: CallBackend) -> None:
        try:
            self.result = get(backend)
        except TaskFailed as error:
            self.result = error

    def join(self) -> Any:
        self.thread.join(20)
        assert not self.thread.is_alive(), "it still waits"
        return self.result


def a_past(status: JobStatus, round: int = BEFORE, reason: Reason = Reason.CANCELLED, **changes: Any) -> Past:
    digest = changes.pop("digest", digest_of_call())
    return Past("1", "9-0", "load", digest, round, status, reason, FailureClass.UNKNOWN)._replace(**changes)


def digest_of_call() -> str:
    made: list[Any] = []
    channel = BodyChannel(1, NOW, None, made.append)
    CallBackend("flow", channel, None, AttemptInfo("1", "run", "0", 0, 1, 2, None, None, (), round=NOW)).take(a_call())
    return str(made[0].calls[0].digest)


@pytest.mark.parametrize("get", [sync, in_a_coroutine, unwaited])
@pytest.mark.parametrize("status", [JobStatus.REVOKED, JobStatus.FAILURE])
def test_a_call_of_an_earlier_round_that_fails_yet_is_made_again(get: Get, status: JobStatus) -> None:
    body = Running(get)
    body.channel.arrived(a_past(status))
    report = body.reports.get(timeout=20)
    assert isinstance(report, Calls)
    assert [each.again for each in report.calls] == ["9-0"]
    body.channel.arrived(a_past(status))  # told once more, and too late
    body.channel.arrived(a_past(JobStatus.SUCCESS, NOW, result='"there"'))
    assert body.join() == "there"


@pytest.mark.parametrize("get", [sync, in_a_coroutine, unwaited])
def test_a_call_of_an_earlier_round_that_succeeds_yet_is_the_answer(get: Get) -> None:
    body = Running(get)
    body.channel.arrived(a_past(JobStatus.SUCCESS, result='"there"'))
    assert body.join() == "there"
    assert body.reports.empty()


def test_what_failed_under_another_call_at_the_same_place_is_no_answer() -> None:
    made: list[Any] = []
    channel = BodyChannel(1, NOW, None, made.append)
    past = a_past(JobStatus.FAILURE, NOW, digest="of other arguments")
    backend = CallBackend("flow", channel, None, AttemptInfo("1", "run", "0", 0, 1, 2, None, None, (), round=NOW, calls=(past,)))
    backend.take(a_call())
    channel.arrived(past)
    assert channel.ended("1") is None
    channel.arrived(a_past(JobStatus.SUCCESS, NOW))
    assert channel.ended("1") is not None


class Stops:
    """An executor that is only asked to stop, and told what has arrived."""

    def __init__(self) -> None:
        self.stopped: list[int] = []
        self.told: list[int] = []

    def stop(self, id: int, cause: StopCause) -> None:
        self.stopped.append(id)

    def arrived(self, id: int, call: Past) -> None:
        self.told.append(id)


def test_a_body_whose_item_comes_back_to_its_worker_is_stopped_and_the_newer_one_hears_of_the_calls() -> None:
    executor: Any = Stops()
    bodies, key = Bodies(), ItemKey(1, 0)
    bodies.add(key, 1, executor)
    bodies.add(key, 2, executor)
    assert executor.stopped == [1]
    bodies.drop(key, 1)
    bodies.hear([(key, a_past(JobStatus.SUCCESS))], executor)
    assert executor.told == [2]

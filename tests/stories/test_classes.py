"""What a task says about its failures, and what the world says, decides how it is tried again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import story_tasks
from story_harness import Trace, World, outcomes

from mulligan import JobStatus
from mulligan.core.job import FailureClass, Reason


class Answers(BaseHTTPRequestHandler):
    """Answers by what the path asks for: `/503-200` is 503 first and then 200."""

    seen: dict[str, int]

    def do_GET(self) -> None:
        codes = self.path.strip("/").split("-")
        place = self.seen[self.path] = self.seen.get(self.path, -1) + 1
        code = int(codes[min(place, len(codes) - 1)])
        self.send_response(code)
        if code == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(b"here you are")

    def log_message(self, *args: Any) -> None:
        return


@pytest.fixture
def site() -> Iterator[str]:
    handler = type("OwnAnswers", (Answers,), {"seen": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_server_that_answers_503_is_tried_again_until_it_answers_200(shared: World, site: str) -> None:
    job = shared.client.submit(story_tasks.fetches, f"{site}/503-503-200")
    assert job.result() == "here you are"
    item = job.work_items()[0]
    assert outcomes(item) == ["FAILED", "FAILED", "SUCCEEDED"]
    assert [each.failure_class for each in item.attempts()] == [FailureClass.TRANSIENT, FailureClass.TRANSIENT, None]


def test_404_is_permanent_and_not_tried_again(shared: World, site: str) -> None:
    item = shared.client.submit(story_tasks.fetches, f"{site}/404").wait(20).work_items()[0]
    assert (item.failure_class, item.reason) == (FailureClass.PERMANENT, Reason.NOT_RETRIED)
    assert outcomes(item) == ["FAILED"]


def test_429_is_a_class_of_its_own_which_this_policy_does_not_retry(shared: World, site: str) -> None:
    item = shared.client.submit(story_tasks.fetches, f"{site}/429").wait(20).work_items()[0]
    assert (item.failure_class, item.reason) == (FailureClass.RATE_LIMITED, Reason.NOT_RETRIED)


def test_a_refused_connection_is_tried_again_up_to_the_policy_s_limit(shared: World) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        closed = server.server_port
    item = shared.client.submit(story_tasks.fetches, f"http://127.0.0.1:{closed}/").wait(20).work_items()[0]
    assert (item.failure_class, item.reason) == (FailureClass.TRANSIENT, Reason.BUDGET_SPENT)
    assert len(item.attempts()) == 3


@pytest.mark.parametrize(
    ("what", "kind", "attempts", "reason"),
    [
        ("transient", FailureClass.TRANSIENT, 3, Reason.BUDGET_SPENT),
        ("infrastructure", FailureClass.INFRASTRUCTURE, 2, Reason.BUDGET_SPENT),
        ("permanent", FailureClass.PERMANENT, 1, Reason.NOT_RETRIED),
        ("type", FailureClass.PERMANENT, 1, Reason.NOT_RETRIED),
        ("value", FailureClass.UNKNOWN, 1, Reason.NOT_RETRIED),
    ],
)
def test_each_class_is_retried_as_the_policy_says(
    shared: World, trace: Trace, what: str, kind: FailureClass, attempts: int, reason: Reason
) -> None:
    item = shared.client.submit(story_tasks.raises, trace.path(), what).wait(20).work_items()[0]
    assert (item.status, item.failure_class, item.reason) == (JobStatus.FAILURE, kind, reason)
    assert trace.lines() == [what] * attempts
    assert kind in item.explain()


@pytest.mark.parametrize(("code", "kind", "starts"), [(0, FailureClass.TRANSIENT, 2), (3, FailureClass.PERMANENT, 1)])
def test_the_task_s_own_table_comes_first(shared: World, trace: Trace, code: int, kind: FailureClass, starts: int) -> None:
    item = shared.client.submit(story_tasks.by_mapping, trace.path(), code).wait(20).work_items()[0]
    assert item.failure_class is kind
    assert len(trace.lines()) == starts


@pytest.mark.parametrize(("text", "kind"), [("try again", FailureClass.TRANSIENT), ("no idea", FailureClass.UNKNOWN)])
def test_the_task_s_own_function_is_asked_first(shared: World, trace: Trace, text: str, kind: FailureClass) -> None:
    item = shared.client.submit(story_tasks.by_function, trace.path(), text).wait(20).work_items()[0]
    assert item.failure_class is kind
    assert trace.lines() == [text] * (2 if kind is FailureClass.TRANSIENT else 1)


def test_snoozing_waits_without_being_charged(shared: World, trace: Trace) -> None:
    job = shared.client.submit(story_tasks.snoozes, trace.path(), trace.path("go"))
    trace.wait_for("attempt 3")
    trace.touch()
    assert job.result() >= 4
    *snoozed, last = job.work_items()[0].attempts()
    assert {each.outcome for each in snoozed} == {"SNOOZED"}
    assert not any(each.charged for each in snoozed)
    assert last.outcome == "SUCCEEDED"


def test_what_the_other_side_asks_for_is_waited_for(shared: World, trace: Trace) -> None:
    began = time.time()
    assert shared.client.submit(story_tasks.limited, trace.path()).result() == 2
    first, second = (float(line) for line in trace.lines())
    assert second - first >= 0.4
    assert first >= began - 1

"""What makes no sense is refused at once, in words, and leaves nothing behind."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import client_tasks
import pytest

from mulligan import NEVER, TRANSIENT, MulliganError, Policy, Retry, WaitTimeout, Window, connect, task
from mulligan.client.client import Client

HUGE = 10**5000
"""More digits than Python turns into text: a message that shows it would fail itself."""
HOUR = Window(datetime(2024, 3, 7, 1, tzinfo=UTC), datetime(2024, 3, 7, 2, tzinfo=UTC))
NEW_YORK, TOKYO = ZoneInfo("America/New_York"), ZoneInfo("Asia/Tokyo")
DAYS = ("2024-01-01", "2024-01-02")


def declared() -> None: ...


Call = Callable[[], Any]
ALONE: dict[str, tuple[Call, str]] = {
    "delays is one number": (lambda: Retry(delays=5), "delays: expected a list"),  # type: ignore[arg-type]
    "delays is a text": (lambda: Retry(delays="12"), "delays: expected a list"),
    "delays is a set": (lambda: Retry(delays={1, 2}), "delays: expected a list"),  # type: ignore[arg-type]
    "delays holds a huge number": (lambda: Retry(delays=[HUGE]), "delays: <int> is not a duration"),
    "delay is huge": (lambda: Retry(delay=HUGE), "delay: <int> is not a duration"),
    "max_attempts is huge": (lambda: Retry(max_attempts=HUGE), "max_attempts: expected .* not <int>"),
    "factor is huge": (lambda: Retry(factor=HUGE), "factor: expected .* not <int>"),
    "jitter is huge": (lambda: Retry(jitter=HUGE), "jitter: expected .* not <int>"),
    "no policy": (lambda: Policy(None), "expected a mapping such as .* not None"),  # type: ignore[call-overload]
    "a policy of a number": (lambda: Policy(5), "expected a mapping such as"),  # type: ignore[call-overload]
    "a policy of a text": (lambda: Policy("x"), "expected a mapping such as"),  # type: ignore[call-overload]
    "a policy of triples": (lambda: Policy([(1, 2, 3)]), "expected a mapping such as"),  # type: ignore[list-item]
    "delays of no class": (lambda: Policy({TRANSIENT: NEVER}).delays("x"), "expected failure classes"),  # type: ignore[arg-type]
    "retries is huge": (lambda: task(retries=HUGE)(declared), "declared.*retries: "),
    "a timeout of very many digits": (lambda: task(timeout=HUGE)(declared), "timeout: <int> is not a duration"),
    "a timeout of very many digits as text": (lambda: task(timeout="1" * 5000)(declared), "timeout: '1+"),
    "concurrency beyond what a database holds": (lambda: task(concurrency=2**64)(declared), "concurrency: expected"),
    "memory beyond what a machine has": (lambda: task(resources={"memory": HUGE})(declared), "memory is a size"),
    "memory beyond a float": (lambda: task(resources={"memory": "9" * 400 + "GB"})(declared), "memory is a size"),
    "a runbook of half a character": (lambda: task(runbook="\ud800")(declared), "runbook: expected a text"),
    "a label without a name": (lambda: client_tasks.add.options(labels={"": "x"}), "name is empty"),
    "a window in year 1": (lambda: Window(datetime.min.replace(tzinfo=TOKYO), HOUR.end), "start: .*years 1 and 9999"),
    "a window in year 9999": (lambda: Window(HOUR.start, datetime(9999, 12, 31, 23, tzinfo=NEW_YORK)), "end: .*years 1 and 9999"),
    "no URL": (lambda: connect(5), "url: expected a text"),  # type: ignore[arg-type]
    "a URL that is no path": (lambda: connect("sqlite:///\0"), "control characters"),
    "a setting that is none": (lambda: connect("sqlite:///x.db", bogus=1), "there is no setting 'bogus'"),
    "a setting named like a parameter": (lambda: connect("sqlite:///x.db", start=1), "there is no setting 'start'"),
    "a namespace without a name": (lambda: connect("sqlite:///x.db", namespace=" "), "namespace is empty"),
    "a namespace that is no text": (lambda: connect("sqlite:///x.db", namespace=5), "expected a text"),
    "processes beyond all machines": (lambda: connect("sqlite:///x.db", processes=2**40), "processes = .* at most"),
}


@pytest.mark.parametrize("case", ALONE)
def test_what_makes_no_sense_by_itself_is_refused(case: str) -> None:
    call, words = ALONE[case]
    with pytest.raises(MulliganError, match=words):
        call()


Ask = Callable[[Client], Any]
add, even, offline = client_tasks.add, client_tasks.even_only, client_tasks.offline
SUBMITTING: dict[str, tuple[Ask, str]] = {
    "the same window twice": (lambda c: c.map(offline, [HOUR, HOUR]), "elements 0 and 1 are the same window, 2024-03-07T01"),
    "the same window from an iterator": (lambda c: c.map(offline, iter([HOUR, HOUR])), "the same window"),
    "a key that is no function": (lambda c: c.map(even, [2], key=5), "key is a function .* not 5"),
    "args that are no mapping": (lambda c: c.map(add, [2], args=5), "args are the arguments by name"),
    "args that are a list": (lambda c: c.map(add, [2], args=[1]), "args are the arguments by name"),
    "args without names": (lambda c: c.backfill(offline, *DAYS, args={5: 1}), "args are the arguments by name"),
    "args of a name that are no mapping": (lambda c: c.backfill("offline", *DAYS, args=[1]), "args are the arguments by name"),
    "a map by name": (lambda c: c.map("add", [1]), "give the task itself"),
    "no task": (lambda c: c.submit(5), "expected a task"),  # type: ignore[call-overload]
    "a plain function": (lambda c: c.submit(add.fn, 1, 2), "expected a task"),  # type: ignore[arg-type]
    "no options": (lambda c: c.submit("add", a=1, b=2, options=5), "options: expected"),  # type: ignore[arg-type]
    "a backfill in year 1": (
        lambda c: c.backfill(offline, date.min, date(1, 1, 2), tz="Asia/Tokyo"),
        "start: .*years 1 and 9999",
    ),
    "a backfill in year 9999": (lambda c: c.backfill(offline, "9999-12-28", "9999-12-31"), "end: .*years 1 and 9999"),
    "a step over the end of time": (lambda c: c.backfill(offline, "9999-12-28", "9999-12-29", every="9d"), "does not divide"),
    "a zone that is no text": (lambda c: c.backfill(offline, *DAYS, tz=[]), "tz: expected the name"),
    "a step of very many digits": (lambda c: c.backfill(offline, *DAYS, every=HUGE), "every: <int>"),
    "a risk accepted by a word": (lambda c: c.backfill(offline, *DAYS, accept_risk="no"), "accept_risk: expected True or False"),
    "a risk accepted by a word, by name": (
        lambda c: c.backfill("offline", *DAYS, accept_risk="no"),
        "accept_risk: expected True or False",
    ),
}


@pytest.mark.parametrize("case", SUBMITTING)
def test_what_makes_no_sense_is_not_submitted(client: Client, case: str) -> None:
    ask, words = SUBMITTING[case]
    before = [each.id for each in client.jobs(limit=1)]
    with pytest.raises(MulliganError, match=words):
        ask(client)
    assert [each.id for each in client.jobs(limit=1)] == before


FILTERS: dict[str, tuple[dict[str, Any], str]] = {
    "no status": ({"status": "x"}, "status: expected one of PENDING"),
    "a status that is a number": ({"status": 5}, "status: expected"),
    "no failure class": ({"failure_class": "x"}, "failure_class: expected one of TRANSIENT"),
    "a task that is no text": ({"task": {}}, "task: expected a text"),
    "a task of half a character": ({"task": "\ud800"}, "surrogate"),
    "a key that is no text": ({"key": 5}, "key: expected a text"),
    "an error that is no text": ({"error": 5}, "error: expected a text"),
    "a window's end that is no time": ({"window_end": "x"}, "window_end: 'x' is not a date"),
    "a window's start that is a number": ({"window_start": 5}, "window_start: expected a date"),
    "a number that is none": ({"number": "x"}, "number: expected a whole number"),
    "a huge number": ({"number": HUGE}, "number: expected a whole number"),
    "a huge job": ({"job": HUGE}, "no job <int>"),
    "ids that are none": ({"ids": 5}, "ids: expected"),
    "no such filter": ({"bogus": 1}, "there is no filter 'bogus'"),
}


@pytest.mark.parametrize("case", FILTERS)
@pytest.mark.parametrize("verb", ["cancel", "retry", "retry_now", "overwrite", "work_items"])
def test_a_filter_that_makes_no_sense_matches_nothing_and_starts_nothing(client: Client, verb: str, case: str) -> None:
    filters, words = FILTERS[case]
    with pytest.raises(MulliganError, match=words):
        list(getattr(client, verb)(**filters))


def test_an_action_has_no_pages(client: Client) -> None:
    with pytest.raises(MulliganError, match="'after' is for going through pages"):
        client.cancel(task="add", after=(1, 2))


READING: dict[str, tuple[Ask, str]] = {
    "fewer than no jobs": (lambda c: c.jobs(limit=-1), "limit: expected a whole number from 0 to 500, not -1"),
    "more jobs than a page": (lambda c: c.jobs(limit=501), "for more, go on with before="),
    "half a job": (lambda c: c.jobs(limit=1.5), "limit: expected"),  # type: ignore[arg-type]
    "jobs of no label": (lambda c: c.jobs(label="x"), "label: expected name and value"),
    "jobs of half a label": (lambda c: c.jobs(label=("a", [])), "label, its value: expected a text"),
    "jobs before no job": (lambda c: c.jobs(before="x"), "no job 'x'"),
    "a huge job": (lambda c: c.job(HUGE), "no job <int>"),
    "a huge work item": (lambda c: c.work_item(HUGE), "no work item <int>"),  # type: ignore[arg-type]
    "pausing no name": (lambda c: c.pause(add), "task: expected a text"),  # type: ignore[arg-type]
    "pausing for no reason": (lambda c: c.pause("add", None), "reason: expected a text"),  # type: ignore[arg-type]
    "waiting for a word": (lambda c: a_job(c).wait("soon"), "timeout: 'soon' is not a duration"),
    "waiting for less than no time": (lambda c: a_job(c).wait(-1), "timeout: -1 is not a duration"),
    "waiting for no number": (lambda c: a_job(c).wait(math.nan), "timeout: nan is not a duration"),
    "waiting for ever": (lambda c: a_job(c).wait(HUGE), "timeout: <int> is not a duration"),
    "waiting for a yes": (lambda c: a_job(c).wait(True), "timeout: expected seconds"),
    "a range that ends before it begins": (lambda c: a_job(c).overwrite("2024-02-01", "2024-01-01"), "before it has begun"),
    "a range of nothing": (lambda c: a_job(c).overwrite(DAYS[0], DAYS[0]), "before it has begun"),
    "a range of numbers": (lambda c: a_job(c).overwrite(5), "start: expected a date"),  # type: ignore[arg-type]
    "a risk accepted by a word": (lambda c: a_job(c).overwrite(accept_risk="no"), "accept_risk: expected True"),  # type: ignore[arg-type]
    "logs of no attempt": (lambda c: a_job(c).work_items()[0].logs(9), "there is no attempt 9"),
    "logs of less than no attempt": (lambda c: a_job(c).work_items()[0].logs(-1), "attempt: expected a whole number"),
    "a reason that is no text": (lambda c: a_job(c).cancel(5), "reason: expected a text"),  # type: ignore[arg-type]
}


def a_job(client: Client) -> Any:
    return client.submit(add, 1, 2).wait("1m")


@pytest.mark.parametrize("case", READING)
def test_what_makes_no_sense_is_not_answered_with_something_else(client: Client, case: str) -> None:
    ask, words = READING[case]
    with pytest.raises(MulliganError, match=words):
        ask(client)


@pytest.mark.parametrize("timeout", [0.01, "0.01", "10ms", timedelta(milliseconds=10)])
def test_a_time_to_wait_is_any_duration(alone: Client, timeout: Any) -> None:
    job = alone.submit(add, 1, 2)
    with pytest.raises(WaitTimeout):
        job.wait(timeout)


def test_the_calendar_is_usable_up_to_two_days_from_its_ends(alone: Client) -> None:
    for zone in ("UTC", "Asia/Tokyo", "America/New_York"):
        first = alone.backfill(offline, "0001-01-04", "0001-01-06", tz=zone)
        last = alone.backfill(offline, "9999-12-27", "9999-12-29", tz=zone)
        assert [each.key for each in first.work_items()] == ["0001-01-04", "0001-01-05"]
        assert [each.window.key for each in last.work_items() if each.window] == ["9999-12-27", "9999-12-28"]

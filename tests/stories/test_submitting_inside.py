"""What running tasks submit is stored beside the worker's loop, not in it."""

from __future__ import annotations

import threading

from story_harness import until

from mulligan.core.errors import ArgumentsInvalid, StoreBusy
from mulligan.worker.submissions import Answer, Submissions


def test_nobody_waits_while_a_submission_is_being_stored() -> None:
    go, awake = threading.Event(), threading.Event()

    def slow(payload: str, caller: str) -> str:
        assert go.wait(20)
        return f"{payload} of {caller}"

    submissions = Submissions(slow, awake.set)
    submissions.put(1, 7, "one", "1-0")
    submissions.put(2, 8, "two", "2-0")
    assert submissions.take() == []
    assert not awake.is_set()
    go.set()
    assert awake.wait(20)
    found: list[Answer] = []
    until(lambda: found.extend(submissions.take()) or len(found) == 2, "both are answered")
    assert found == [Answer(1, 7, "one of 1-0", None), Answer(2, 8, "two of 2-0", None)]
    submissions.close()


def test_a_submission_waits_for_a_store_that_is_away_and_is_refused_for_what_is_wrong_with_it() -> None:
    tries: list[str] = []

    def fickle(payload: str, caller: str) -> str:
        tries.append(payload)
        if payload == "wrong":
            raise ArgumentsInvalid("b must be a number")
        if payload == "bug":
            raise KeyError("kind")
        if tries.count(payload) < 3:
            raise StoreBusy("locked")
        return "stored"

    submissions = Submissions(fickle, lambda: None)
    for number, payload in enumerate(("right", "wrong", "bug")):
        submissions.put(number, 0, payload, "1-0")
    found: list[Answer] = []
    until(lambda: found.extend(submissions.take()) or len(found) == 3, "all are answered")
    assert found[0] == Answer(0, 0, "stored", None)
    assert found[1] == Answer(1, 0, None, "arguments_invalid: b must be a number")
    assert "KeyError" in str(found[2].error)
    assert tries.count("right") == 3
    submissions.close()


def test_closing_ends_the_wait_for_a_store_that_stays_away() -> None:
    def away(payload: str, caller: str) -> str:
        tried.set()
        raise StoreBusy("locked")

    tried = threading.Event()
    submissions = Submissions(away, lambda: None)
    submissions.put(1, 1, "one", "1-0")
    assert tried.wait(20)
    submissions.close()
    submissions.close()
    assert submissions.take() == [Answer(1, 1, None, "store_busy: locked")]

"""The query bar: what its words mean, and what it says of those it does not know."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mulligan.console.query import STATES, WORDS, parse
from mulligan.core.errors import ArgumentsInvalid
from mulligan.core.job import FailureClass, JobStatus


@pytest.mark.parametrize(
    ("text", "filters"),
    [
        ("", {}),
        ("state:failed", {"status": [JobStatus.FAILURE]}),
        ("state:failed,retrying", {"status": [JobStatus.FAILURE, JobStatus.RETRY]}),
        ("state:failed state:running", {"status": [JobStatus.FAILURE, JobStatus.STARTED]}),
        ("class:rate-limited pipeline:features", {"failure_class": FailureClass.RATE_LIMITED, "task": "features"}),
        ("run:flights-2013 key:2024-03-07 job:12", {"run_id": "flights-2013", "key": "2024-03-07", "job": "12"}),
        ("from:2024-03-01 until:2024-03-08", {"window_start": "2024-03-01", "window_end": "2024-03-08"}),
        ('text:"no such table: x"', {"error": "no such table: x"}),
        ("SlowDown", {"error": "SlowDown"}),
        ("key:s3://bucket/a", {"key": "s3://bucket/a"}),
    ],
)
def test_words_become_filters(text: str, filters: dict[str, object]) -> None:
    assert parse(text).filters == filters


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour:red", "no filter"),
        ("state:sad", "expected one of pending"),
        ("class:sad", "expected one of transient"),
        ("state:", "write what it should be"),
        ("key:a key:b", "twice"),
        ("a b", "twice"),
        ('text:"open', "quotation mark"),
    ],
)
def test_what_it_does_not_know_is_said_with_what_there_is(text: str, said: str) -> None:
    with pytest.raises(ArgumentsInvalid, match=said):
        parse(text)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_words(text: str) -> None:
    with contextlib.suppress(ArgumentsInvalid):
        assert set(parse(text).filters) <= set(WORDS.values())


def test_a_question_about_errors_is_for_work_items_and_one_about_labels_for_jobs() -> None:
    assert parse("state:failed pipeline:a").of_jobs
    assert parse("state:failed pipeline:a").of_items
    assert not parse("class:transient").of_jobs
    assert not parse("label:team=ads").of_items
    assert set(STATES.values()) == set(JobStatus)

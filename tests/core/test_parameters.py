"""Messages without what differs between them: a table, and what must hold of all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mulligan.core.parameters import MAX_TEXT, parameterised

TABLE = [
    ("", ""),
    ("  it\n broke \t here", "it broke here"),
    ("no such user bob.jones+x@mail.example.com", "no such user <email>"),
    ("GET https://api.example.com/v1/rows?after=12: 503", "GET <url>: <number>"),
    ("cannot read s3://bucket/dt=2024-03-07/part-0001.parquet", "cannot read <uri>"),
    ("cannot read gs://bucket/a, nor abfss://box@account.dfs.core.windows.net/b", "cannot read <uri>, nor <uri>"),
    ("connection to postgresql://db/x refused", "connection to <uri> refused"),
    ("host 10.20.30.40:5432 is down", "host <ip>:<number> is down"),
    ("host fe80:0:0:1::2 is down", "host <ip> is down"),
    ("could not reach db-7.prod.internal", "could not reach <host>"),
    ("trace 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "trace <traceparent>"),
    ("order 123e4567-e89b-12d3-a456-426614174000 is gone", "order <uuid> is gone"),
    ("run 20240307T030000Z-4be1c09af2d3 has no rows", "run <run id> has no rows"),
    ("checksum d41d8cd98f00b204e9800998ecf8427e", "checksum <hash>"),
    ("checksum sha256:" + "ab" * 32, "checksum <hash>"),
    ("at commit 3aae32fc", "at commit <hex>"),
    ("at 0x7f3a2c", "at <hex>"),
    ("no rows on 2024-03-07", "no rows on <date>"),
    ("no rows since 2024-03-07T06:00:00.123Z", "no rows since <date>"),
    ("no rows since 2024-03-07 06:00:00+01:00", "no rows since <date>"),
    ("no rows since Thu, 07 Mar 2024 03:00:00 GMT", "no rows since <date>"),
    ("gave up at 03:00:01", "gave up at <time>"),
    ("gave up after 3.5 s", "gave up after <duration>"),
    ("gave up after 20 minutes", "gave up after <duration>"),
    ("missing partition dt=2024-03-07", "missing partition dt=<value>"),
    ("bad call name='bob' of user=\"x y\"", "bad call name=<text> of user=<text>"),
    ("bad call strict=True", "bad call strict=<bool>"),
    ("no such file /data/in/2024/rows.csv", "no such file <path>"),
    ("no such file data/2024-03/rows.csv", "no such file <path>"),
    (r"no such file C:\data\rows.csv", "no such file <path>"),
    ("expected 1,234 rows, not -5", "expected <number> rows, not <number>"),
    ("loss 1e-5 after shard12_of_40", "loss <number> after shard<number>_of_<number>"),
    ("S3 wants utf-8 and sha256 over HTTP/1.1", "S3 wants utf-8 and sha256 over HTTP/1.1"),
    ("column dep_delay is missing", "column dep_delay is missing"),
    ("no module named requests.exceptions", "no module named requests.exceptions"),
    ("An error occurred (SlowDown) when calling GetObject", "An error occurred (SlowDown) when calling GetObject"),
]


@pytest.mark.parametrize(("message", "expected"), TABLE)
def test_what_differs_between_like_messages_becomes_a_placeholder(message: str, expected: str) -> None:
    assert parameterised(message) == expected


WORDS = st.lists(st.sampled_from(["row", "of shard", "item_", "part", "was lost in", "twice"]), min_size=1, max_size=5)
NUMBER = st.integers(0, 10**18)


@given(WORDS, st.data())
def test_numbers_never_split_messages_that_say_the_same(words: list[str], data: st.DataObject) -> None:
    first, second = (" ".join(f"{word}{data.draw(NUMBER)}" for word in words) for _ in range(2))
    assert parameterised(first) == parameterised(second)


@given(st.uuids(), st.uuids(), st.datetimes(), st.datetimes())
def test_neither_do_ids_and_moments(one: object, other: object, then: object, now: object) -> None:
    assert parameterised(f"order {one} of {then} is late") == parameterised(f"order {other} of {now} is late")


@given(st.text())
def test_any_text_gives_one_line_of_bounded_length(message: str) -> None:
    found = parameterised(message)
    assert len(found) <= MAX_TEXT + 1
    assert found.split() == found.split(" ") or not found


@pytest.mark.parametrize("piece", ["a", "a.", "a@", "1:", "0.", "a/", "=", "'", "x='", "f0", "://", "\\", "-"])
def test_a_message_that_repeats_itself_ends_within_the_time_of_a_test(piece: str) -> None:
    assert len(parameterised(piece * 5_000)) <= MAX_TEXT + 1


def test_a_text_of_the_greatest_length_is_whole_and_a_longer_one_is_cut() -> None:
    assert parameterised("x" * MAX_TEXT) == "x" * MAX_TEXT
    assert parameterised("x" * (MAX_TEXT + 1)) == "x" * MAX_TEXT + "…"

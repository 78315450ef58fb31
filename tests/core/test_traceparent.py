"""Places in traces as W3C writes them, and ids that follow from what a span is about."""

from __future__ import annotations

import pytest

from mulligan.core.traceparent import Place, place_of, span_id, trace_id

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("03", True), ("02", False)])
def test_a_place_is_read_as_it_is_written(flags: str, sampled: bool) -> None:
    place = place_of(f"00-{TRACE}-{SPAN}-{flags}")
    assert place == Place(int(TRACE, 16), int(SPAN, 16), sampled)
    assert str(place) == f"00-{TRACE}-{SPAN}-{'01' if sampled else '00'}"


def test_a_later_version_may_say_more() -> None:
    assert place_of(f"01-{TRACE}-{SPAN}-01-and-more") == place_of(f"00-{TRACE}-{SPAN}-01")


@pytest.mark.parametrize(
    "text",
    [
        None, "", "nonsense", f"ff-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01-more", f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-{SPAN}", f"01-{TRACE}-{SPAN}-01-{'x' * 512}",
    ],
)  # fmt: skip
def test_what_is_no_place_is_none(text: str | None) -> None:
    assert place_of(text) is None


def test_the_longest_that_is_read_has_512_characters() -> None:
    assert place_of(f"01-{TRACE}-{SPAN}-01-".ljust(512, "x")) is not None
    assert place_of(f"01-{TRACE}-{SPAN}-01-".ljust(513, "x")) is None


def test_flags_are_hexadecimal() -> None:
    for flags, sampled in (("10", False), ("0a", False), ("0b", True), ("ff", True)):
        assert place_of(f"00-{TRACE}-{SPAN}-{flags}") == Place(int(TRACE, 16), int(SPAN, 16), sampled)


def test_ids_stay_what_they_are_from_version_to_version() -> None:
    assert trace_id("job", 1) == 281890613413705878197448904639736463854
    assert span_id("item", 1, 12) == 7172434917255932118


def test_ids_are_the_same_for_the_same_and_others_for_others() -> None:
    assert trace_id("a", 1) == trace_id("a", 1) != trace_id("a1")
    assert span_id("item", 1, 12) != span_id("item", 11, 2)
    assert 0 < span_id("x") < 2**64
    assert 0 < trace_id("x") < 2**128

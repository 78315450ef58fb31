from __future__ import annotations

import pytest

from mulligan.worker.executors.interface import Assignment
from mulligan.worker.executors.process import wire
from mulligan.worker.executors.process.attempts import Attempt
from mulligan.worker.executors.process.children import Child
from mulligan.worker.executors.process.deadlines import Deadlines
from mulligan.worker.executors.process.logs import AttemptLog, Splitter, marker

MARKERS = {number: marker("secret", number) for number in (0, 1, 23, 4)}
STREAM = b"lost" + MARKERS[1] + b"a\0b" + MARKERS[23] + MARKERS[4] + b"\0secre" + MARKERS[0] + b"idle"


@pytest.mark.parametrize("size", range(1, len(STREAM) + 1))
def test_markers_are_found_however_the_stream_is_cut(size: int) -> None:
    splitter = Splitter("secret")
    output: dict[int, bytes] = {}
    for at in range(0, len(STREAM), size):
        for attempt, data in splitter.feed(STREAM[at : at + size]):
            output[attempt] = output.get(attempt, b"") + data
    assert output == {0: b"lostidle", 1: b"a\0b", 4: b"\0secre"}
    assert splitter.current == 0


@pytest.mark.parametrize("size", [1, 3, 7, 100, 5000])
@pytest.mark.parametrize("length", [0, 9, 10, 11, 20, 21, 35, 1000])
def test_a_log_keeps_its_start_and_its_end(length: int, size: int) -> None:
    data = bytes(ord("a") + n % 26 for n in range(length))
    log = AttemptLog(20)
    text = "".join(log.feed(data[at : at + size]) for at in range(0, length, size)) + log.close()
    if length <= 20:
        assert text == data.decode()
    else:
        assert text == f"{data[:10].decode()}\n[… {length - 20:,} bytes left out …]\n{data[-10:].decode()}"


@pytest.mark.parametrize("limit", range(1, 14))
def test_a_log_never_breaks_a_character_that_it_keeps_whole(limit: int) -> None:
    log = AttemptLog(limit)
    text = "".join(log.feed(bytes([byte])) for byte in "ü€😀ü€".encode()) + log.close()
    if limit >= len("ü€😀ü€".encode()):
        assert text == "ü€😀ü€"
    else:
        assert "bytes left out" in text


@pytest.mark.parametrize("size", [1, 2, 5, 64, 1000])
def test_frames_are_put_together_however_they_are_cut(size: int) -> None:
    frames = [[1, "ü\n\0", None], [2, "x" * 300], [], [3.5, {"a": [1]}]]
    data = b"".join(wire.frame(*frame) for frame in frames)
    inbox = wire.Inbox()
    assert [frame for at in range(0, len(data), size) for frame in inbox.feed(data[at : at + size])] == frames


def test_deadlines_come_in_order_and_only_as_last_set() -> None:
    deadlines = Deadlines()
    for key in range(1, 1000):
        deadlines.set(key, 5000 - key)
        deadlines.set(key, key)
    for key in range(1, 1000, 2):
        deadlines.discard(key)
    assert deadlines.next() == 2
    assert deadlines.due(1.9) == []
    assert deadlines.due(6) == [2, 4, 6]
    assert deadlines.due(10_000) == list(range(8, 1000, 2))
    assert deadlines.next() is None


def test_stale_deadlines_do_not_pile_up() -> None:
    deadlines = Deadlines()
    for key in range(10_000):
        deadlines.set(key, 1e9)
        deadlines.discard(key)
    assert len(deadlines._heap) < 100


def test_an_attempt_whose_end_was_not_heard_of_has_begun_also_when_the_marker_of_the_next_is_there() -> None:
    child = Child(1, asynchronous=False)
    first, second, third = (Attempt(Assignment(number, "task", "{}"), asynchronous=False) for number in (1, 2, 3))
    for each in (first, second, third):
        child.add(each)
    child.splitter.feed(marker(child._secret, 1) + b"said" + marker(child._secret, 2))
    assert [child.ran(each) for each in (first, second, third)] == [True, True, False]
    child.remove(first)
    child.splitter.feed(marker(child._secret, 0))
    assert [child.ran(each) for each in (first, second, third)] == [False, True, False]
    child.handed_over()
    child.close()

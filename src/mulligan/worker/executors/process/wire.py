"""What travels between the worker, its forkserver and its children: JSON arrays, one a line, known by their tag."""

from __future__ import annotations

import struct
from typing import Any, cast

from pydantic_core import from_json, to_json

from mulligan.core.attempt import AttemptInfo
from mulligan.worker.executors.interface import Assignment

CHUNK = 262_144
"""Bytes read at once: more than a pipe holds, so that one read empties it."""

# From the worker to a child.
HELLO = "hello"  # secret of the log markers, load, sources, digests of the source files, where artifacts lie, secret values
BATCH = "batch"  # entries, see `entry`
STOP = "stop"  # id, cause
INTERRUPT = "interrupt"  # id
RECALL = "recall"
ANSWER = "answer"  # id, call, value, error
HIDDEN = "hidden"  # number

# From a child to the worker. The first four end an attempt: id, start in ms since 1970, run time in µs, and then:
SUCCEEDED = 0  # result
FAILED = 1  # failure
SNOOZED = 2  # delay in s
STOPPED = 3  # traceback
READY = 4
BEGAN = 5  # ids
RECALLED = 6  # ids, whether it answers a RECALL
CALL = 7  # id, call, name, payload
PROGRESS = 8  # id, done, total
ROWS = 9  # id, rows
TOUCH = 10  # id
UNFIT = 11  # whether source files have changed, what is wrong
HIDE = 12  # number, reference and value of a secret that was read; it waits for HIDDEN before users' code is given it

_LENGTHS = dict(zip(range(13), (5, 5, 5, 5, 1, 2, 3, 5, 4, 3, 2, 3, 4), strict=True))
"""How many parts a frame from a child has, its tag included."""

# Between the worker and its forkserver, of fixed size.
REQUEST = struct.Struct("<ciI")
"""What, a kind or a signal, and the number of the child; with FORK come the child's socket and the end of its log pipe."""

REPLY = struct.Struct("<cIii")
"""What, the number of the child, its process id, its wait status; with the process id 0 the error number of a failed fork."""

FORK, KILL, FORKED, EXITED = b"f", b"k", b"F", b"X"


def frame(*parts: object) -> bytes:
    """Make one frame; raises ValueError for what JSON cannot hold, such as lone surrogates."""
    return to_json(parts) + b"\n"


class Inbox:
    """Puts frames together from what arrives."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> list[list[Any]]:
        """Return the frames that are complete with this data; what is no JSON becomes None."""
        head, newline, rest = data.rpartition(b"\n")
        if not newline:
            self._parts.append(data)
            return []
        if self._parts:
            head = b"".join((*self._parts, head))
            self._parts.clear()
        if rest:
            self._parts.append(rest)
        # JSON on one line holds no raw newline: one call of the parser takes all lines as one array.
        try:
            return cast("list[list[Any]]", from_json(b"[" + head.replace(b"\n", b",") + b"]"))
        except ValueError:
            return [_parsed(line) for line in head.split(b"\n")]


def entry(assignment: Assignment) -> list[object]:
    """Return what a child needs of an assignment; short where nothing special is asked."""
    a = assignment
    if a.info is None and a.timeout_s is None and a.heartbeat_s is None and a.memory_bytes is None and a.traceparent is None:
        return [a.id, a.task, a.arguments]
    return [a.id, a.task, a.arguments, a.info, a.timeout_s, a.heartbeat_s, a.memory_bytes, a.traceparent]


def info_of(entry: list[Any]) -> AttemptInfo | None:
    """Rebuild what an attempt is told about itself."""
    fields = entry[3] if len(entry) > 3 else None
    if fields is None:
        return None
    window = fields.pop("window")
    steps = fields.pop("steps")
    return AttemptInfo(**fields, window=window and tuple(window), steps=tuple((key, value) for key, value in steps))


def touch_interval(heartbeat_s: float) -> float:
    """Return how often a touch is passed on at most, in seconds: the worker allows as much beyond the limit."""
    return min(0.5, heartbeat_s / 10)


def sound(frames: list[Any]) -> list[list[Any]]:
    """Return the frames up to the first that is none, as there are where a task wrote to the socket itself."""
    for place, each in enumerate(frames):
        if type(each) is not list or not each or type(each[0]) is not int or len(each) != _LENGTHS.get(each[0]):
            return frames[:place]
    return frames


def _parsed(line: bytes) -> Any:
    try:
        return from_json(line)
    except ValueError:
        return None

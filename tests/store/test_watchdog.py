"""How long a server that does not answer any more is waited for."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from mulligan.store import watchdog
from mulligan.store.watchdog import Watchdog

LIMIT_S = 1.0


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watchdog]:
    monkeypatch.setattr(watchdog, "LOOK_S", 0.02)
    monkeypatch.setattr(watchdog, "SUSPECT_S", 0.1)
    made = Watchdog(LIMIT_S)
    yield made
    made.close()


@pytest.fixture
def connection() -> Iterator[Callable[[], socket.socket]]:
    """Makes connections to somebody who never says anything."""
    ends: list[socket.socket] = []

    def make() -> socket.socket:
        ends.extend(socket.socketpair())
        return ends[-1]

    yield make
    for each in ends:
        each.close()


def waits(watching: Watchdog, for_answer: socket.socket) -> float:
    """Return how long it took until nobody waited for an answer any more."""
    began = time.monotonic()
    with watching.over(for_answer):
        assert for_answer.recv(1) == b""
    return time.monotonic() - began


def answers(watching: Watchdog, connection: socket.socket) -> None:
    """Have a connection answer at once."""
    with watching.over(connection):
        pass


def test_many_connections_at_rest_are_waited_for_once_when_the_server_falls_silent(
    watching: Watchdog, connection: Callable[[], socket.socket]
) -> None:
    first, used, used_too, never_used = (connection() for _ in range(4))
    answers(watching, used)
    answers(watching, used_too)
    assert waits(watching, first) >= LIMIT_S
    assert sum(waits(watching, each) for each in (used, used_too, never_used)) < LIMIT_S


def test_a_connection_that_has_answered_since_a_silence_has_all_its_time_again(
    watching: Watchdog, connection: Callable[[], socket.socket]
) -> None:
    silent, other = connection(), connection()
    answers(watching, other)
    waits(watching, silent)
    answers(watching, other)
    assert waits(watching, other) >= LIMIT_S


def test_a_server_that_is_only_slow_has_all_its_time_again_soon_on_new_connections(
    watching: Watchdog, connection: Callable[[], socket.socket]
) -> None:
    waits(watching, connection())
    assert any(waits(watching, connection()) >= LIMIT_S for _ in range(30))

"""Waiting for a job on a server: its stream tells of the end, and whoever waits looks by itself where there is none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import client_tasks
import pytest

from mulligan.client.client import Client
from mulligan.gateway import listening, server
from mulligan.gateway.listening import StreamHints
from mulligan.gateway.server import ServerGateway

FOR_EVER_S = 1_000.0


@pytest.fixture
def remote(client: Client) -> Client:
    if not isinstance(client.gateway, ServerGateway):
        pytest.skip("a store gives hints of its own")
    return client


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[StreamHints]:
    """What listens to a stream, as it is made; behind an open stream nobody looks."""
    found: list[StreamHints] = []

    class Seen(StreamHints):
        def __init__(self, *given: object) -> None:
            super().__init__(*given)  # type: ignore[arg-type]
            found.append(self)

    monkeypatch.setattr(server, "StreamHints", Seen)
    monkeypatch.setattr(server, "BEHIND_S", FOR_EVER_S)
    return found


def until(come_true: Callable[[], object]) -> None:
    deadline, pause = time.monotonic() + 20, threading.Event()
    while not come_true():
        assert time.monotonic() < deadline
        pause.wait(0.005)


@pytest.mark.parametrize("cut", [False, True])
def test_an_end_is_told_by_the_stream_and_seen_without_it_where_it_is_cut(
    remote: Client, made: list[StreamHints], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: bool
) -> None:
    monkeypatch.setattr(listening, "AGAIN_S", FOR_EVER_S)
    job = remote.submit(client_tasks.half_way, str(tmp_path / "go"))
    waiting = threading.Thread(target=job.wait, args=(30,))
    waiting.start()
    until(lambda: made and made[0].is_up)
    if cut:
        assert made[0]._cut is not None
        made[0]._cut()
        until(lambda: not made[0].is_up)
    (tmp_path / "go").touch()
    waiting.join(30)
    assert (waiting.is_alive(), job.status) == (False, "SUCCESS")
    until(lambda: not [each for each in threading.enumerate() if each.name == f"mulligan-job-{job.id}"])


def test_a_job_that_ended_before_the_stream_was_open_is_seen_at_once(
    remote: Client, made: list[StreamHints], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "QUICKEST_S", FOR_EVER_S)
    monkeypatch.setattr(server, "SLOWEST_S", FOR_EVER_S)
    assert remote.submit(client_tasks.add, 1, 2).result() == 3


def test_more_than_a_client_listens_to_at_once_are_waited_for_all_the_same(
    remote: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(remote.gateway, ServerGateway)
    monkeypatch.setattr(remote.gateway._requests, "_streams", threading.Semaphore(0))
    assert remote.submit(client_tasks.add, 1, 2).result() == 3

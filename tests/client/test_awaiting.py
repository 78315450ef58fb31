"""A job in a coroutine: awaited beside others, with its result or its failure."""

from __future__ import annotations

import asyncio
from pathlib import Path

import client_tasks
import pytest

from mulligan import TaskFailed
from mulligan.client.client import Client


def test_an_awaited_job_gives_what_result_gives(client: Client) -> None:
    async def body() -> int:
        return await client.submit(client_tasks.add, 2, 3)

    assert asyncio.run(body()) == 5


def test_an_awaited_job_that_failed_raises(client: Client) -> None:
    async def body() -> int:
        return await client.submit(client_tasks.even_only, 3)

    with pytest.raises(TaskFailed, match="3 is odd"):
        asyncio.run(body())


def test_the_loop_goes_on_while_a_job_is_awaited_and_many_can_be(client: Client, tmp_path: Path) -> None:
    """The jobs end only when the loop, which awaits all of them, lets them."""

    async def body() -> list[object]:
        jobs = [client.submit(client_tasks.half_way, str(tmp_path / "go")) for _ in range(2)]
        waiting = [asyncio.ensure_future(_result(job)) for job in jobs]
        while not (tmp_path / "go.started").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.005)
        assert not any(each.done() for each in waiting)
        (tmp_path / "go").touch()
        return list(await asyncio.wait_for(asyncio.gather(*waiting), 20))

    async def _result(job):
        return await job

    assert asyncio.run(body()) == [None, None]


def test_whoever_is_cancelled_stops_waiting_and_the_job_goes_on(client: Client, tmp_path: Path) -> None:
    job = client.submit(client_tasks.half_way, str(tmp_path / "go"))

    async def body() -> None:
        async with asyncio.timeout(0.05):
            await job

    with pytest.raises(TimeoutError):
        asyncio.run(body())
    (tmp_path / "go").touch()
    assert job.wait(20).progress == 100.0

"""Waiting for a job in a coroutine: the event loop goes on, and whoever is cancelled stops waiting at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import TypeVar

from mulligan.store.interface import Hints

R = TypeVar("R")


async def awaited(looks: Generator[tuple[float, Hints | None], None, None], result: Callable[[], R]) -> R:
    """Go through looks, each in a thread, and wait between them: until a hint comes, or for so long; return the result."""
    try:
        while (pause := await asyncio.to_thread(next, looks, None)) is not None:
            await _hinted(*pause)
    finally:
        with suppress(ValueError):  # a thread is in the middle of a look: it ends when that does
            looks.close()
    return await asyncio.to_thread(result)


async def _hinted(left: float, listener: Hints | None) -> None:
    if listener is None:
        await asyncio.sleep(left)
        return
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    file = listener.fileno()
    loop.add_reader(file, heard.set)
    try:
        with suppress(TimeoutError):
            await asyncio.wait_for(heard.wait(), left)
            listener.drain()
    finally:
        loop.remove_reader(file)

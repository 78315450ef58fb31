"""All children of an executor as files: starting them, reading and writing without blocking, closing."""

from __future__ import annotations

import selectors
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from mulligan.worker.executors.process.children import Child
from mulligan.worker.executors.process.nursery import Fate, Nursery


class News(NamedTuple):
    """What was read from a child: output pieces with their attempts, and the frames; the output came first."""

    child: Child
    output: list[tuple[int, bytes]]
    frames: list[list[Any]]


class Brood:
    """The children that live, and the forkserver that makes them."""

    def __init__(
        self,
        hello: tuple[str, list[str], Mapping[str, str], str],
        lost: Callable[[int], None],
        nursery: Nursery | None = None,
    ) -> None:
        self._hello = hello
        self._lost = lost
        """Told how a forkserver ended, as an exit code, or a negative signal."""
        self._numbers = 0
        self._selector = selectors.DefaultSelector()
        self._nursery: Nursery | None = None
        self._open_nursery(nursery)
        self.children: dict[int, Child] = {}

    @property
    def forkserver(self) -> int | None:
        """Process id of the forkserver, while there is one."""
        return self._nursery.pid if self._nursery else None

    def fileno(self) -> int:
        """Return the one file descriptor that becomes readable when there is something to do."""
        return int(self._selector.fileno())

    def spawn(self, asynchronous: bool) -> Child:
        """Start a child; it can be sent to at once."""
        nursery = self._nursery or self._open_nursery()
        self._numbers += 1
        child = Child(self._numbers, asynchronous)
        nursery.fork(child.number, asynchronous, *child.hand_over())
        child.handed_over()
        child.hello(*self._hello)
        self.children[child.number] = child
        self._selector.register(child.sock, selectors.EVENT_READ, child)
        self._selector.register(child.log, selectors.EVENT_READ, child)
        return child

    def send(self, child: Child, data: bytes) -> None:
        """Send a frame, now or when the child reads again."""
        waiting = bool(child.unsent)
        child.send(data)
        if child.unsent and not waiting and not child.gone:
            self._selector.modify(child.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, child)

    def kill(self, child: Child, signum: int) -> None:
        """Signal the process group of a child."""
        if self._nursery is not None:
            self._nursery.kill(child.number, signum)

    def read(self) -> tuple[list[News], list[Fate]]:
        """Read whatever is there, once from each child."""
        news: dict[int, News] = {}
        fates: list[Fate] = []
        for key, mask in self._selector.select(0):
            child: Child | None = key.data
            if child is None:
                fates = self._hear_fates()
                continue
            if mask & selectors.EVENT_WRITE:
                child.flush()
                if not child.unsent:
                    self._selector.modify(child.sock, selectors.EVENT_READ, child)
            if mask & selectors.EVENT_READ and child.number not in news:
                news[child.number] = self._hear(child, key.fd != child.log)
        return list(news.values()), fates

    def bury(self, number: int) -> Iterator[News]:
        """Read all that a dead child has left, then close its files."""
        child = self.children.pop(number)
        while not child.gone:
            frames = child.receive()
            yield News(child, child.read_log(), frames or [])
            if frames is None:
                break
        while output := child.read_log():
            yield News(child, output, [])
        for file in (child.sock, child.log):
            with suppress(KeyError):
                self._selector.unregister(file)
        child.close()

    def close(self) -> None:
        """Kill and reap all children, end the forkserver, close all files."""
        if self._nursery is not None:
            self._nursery.close()
        for child in self.children.values():
            child.close()
        self.children.clear()
        self._selector.close()

    def _hear(self, child: Child, frames_too: bool) -> News:
        frames = child.receive() if frames_too and not child.gone else None
        # The log is read after the frames: the output of whatever they end is in the pipe by then.
        output = child.read_log()
        if child.gone:
            with suppress(KeyError):
                self._selector.unregister(child.sock)
            self.kill(child, signal.SIGKILL)
        if child.log_gone:
            with suppress(KeyError):
                self._selector.unregister(child.log)
        return News(child, output, frames or [])

    def _open_nursery(self, ready: Nursery | None = None) -> Nursery:
        self._nursery = nursery = ready or Nursery()
        self._selector.register(nursery.fileno(), selectors.EVENT_READ, None)
        return nursery

    def _hear_fates(self) -> list[Fate]:
        nursery = self._nursery
        if nursery is None:
            return []
        fates = nursery.fates()
        if nursery.gone:  # the next child that is wanted starts another one
            self._selector.unregister(nursery.fileno())
            self._nursery = None
            self._lost(nursery.close())
        return fates

"""Those who listen to a stream: what each wants, what waits to be sent to it, and who is cut off. All of it in the event loop."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from mulligan.core.access import Principal
from mulligan.engine.feed import Moved, OperationTold, Told
from mulligan.store.verbs.records import FIRST, EventPlace

ROOM = 1_000
"""So many messages may wait for one who reads slowly; who reads slower is cut off, and may go on by the last id."""
CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a listener wants to hear of; what its key may not see is left out anyway."""

    principal: Principal
    kinds: frozenset[str] = frozenset()
    """None at all: every kind."""
    task: str | None = None
    """A pipeline, or a task that a workflow calls."""
    job: int | None = None
    """A job, with all that it calls."""

    @property
    def is_plain(self) -> bool:
        """Whether it is for everything that has changed."""
        return self.task is None and self.job is None and self.principal.pipelines is None

    def takes(self, kind: str) -> bool:
        """Return whether it is for a kind of message."""
        return not self.kinds or kind in self.kinds

    def fits(self, event: Told | OperationTold) -> bool:
        """Return whether it is for an event."""
        if isinstance(event, OperationTold):
            return self._fits_operation(event)
        return (
            self.takes(event.kind)
            and self.principal.sees(event.pipeline)
            and self.task in (None, event.pipeline, event.task)
            and self.job in (None, event.job, event.root)
        )

    def _fits_operation(self, event: OperationTold) -> bool:
        """A limited key hears of operations that were limited to pipelines of its own, as it may look at them."""
        return (
            self.takes(event.kind)
            and self.principal.sees_operation(event.operation.pipelines)
            and (self.task is None or event.may_be_about("task", self.task))
            and (self.job is None or event.may_be_about("job", self.job))
        )

    def among(self, moved: Sequence[Moved]) -> list[int]:
        """Return those of some jobs that it is for."""
        mine = (each for each in moved if self.principal.sees(each.pipeline) and self.task in (None, each.pipeline))
        return [each.job for each in mine if self.job in (None, each.job, each.root)]

    def pipelines(self, names: Sequence[str]) -> list[str]:
        """Return those of some pipelines that it is for."""
        return [] if self.job is not None else [each for each in self.principal.among(names) if self.task in (None, each)]


class News(NamedTuple):
    """What has come since the last news, up to a place; `at_ms` is when that was looked for."""

    told: Sequence[Told | OperationTold]
    moved: Sequence[Moved]
    pipelines: Sequence[str]
    place: EventPlace
    at_ms: int
    ended: tuple[set[str], set[str]]
    """Ids of keys and digests of login sessions that are valid no more."""


class Listener:
    """Somebody who listens."""

    def __init__(self, wish: Wish, login: str | None = None) -> None:
        """`login` is the digest of the login session by which it came; None: it came by its key."""
        self.wish = wish
        self.login = login
        self.over: str | None = None
        """Why it is told nothing more."""
        self.cut = asyncio.Event()
        """Set when it is not to be waited for any longer."""
        self._waiting: deque[tuple[EventPlace | None, bytes]] = deque()
        self._something = asyncio.Event()

    def offer(self, place: EventPlace | None, message: bytes) -> None:
        """Have a message sent, or cut it off where too many wait already."""
        if len(self._waiting) >= ROOM:
            self.end("too slow", at_once=True)
        elif self.over is None:
            self._waiting.append((place, message))
            self._something.set()

    def end(self, why: str, *, at_once: bool = False) -> None:
        """Tell it nothing more. `at_once`: do not even wait until it has read what it was sent."""
        self.over = self.over or why
        self._something.set()
        if at_once:
            self._waiting.clear()
            self.cut.set()

    def take(self) -> list[tuple[EventPlace | None, bytes]]:
        """Return all that waits to be sent."""
        taken = list(self._waiting)
        self._waiting.clear()
        if self.over is None:
            self._something.clear()
        return taken

    async def wait(self, timeout_s: float) -> bool:
        """Wait until something is to be sent, or it is over; False where neither came in time."""
        try:
            await asyncio.wait_for(self._something.wait(), timeout_s)
        except TimeoutError:
            return False
        return True


class Hub:
    """All who listen at one server."""

    def __init__(self) -> None:
        self.listeners: set[Listener] = set()
        self.place = FIRST
        """Up to here everybody was told everything."""
        self.at_ms = 0

    def publish(self, news: News) -> None:
        """Tell everybody what is for them, and end those who may hear no more."""
        self.place, self.at_ms = max(self.place, news.place), news.at_ms
        keys, logins = news.ended
        events = [(event, message_of(event)) for event in news.told]
        everything = _changed([each.job for each in news.moved], news.pipelines, news.at_ms)
        for listener in list(self.listeners):
            wish = listener.wish
            if wish.principal.id in keys or listener.login in logins:
                listener.end("its key or login session has ended", at_once=True)
                continue
            for event, message in events:
                if wish.fits(event):
                    listener.offer(event.place, message)
            if everything and wish.takes(CHANGED):
                message = everything if wish.is_plain else _changed(
                    wish.among(news.moved), wish.pipelines(news.pipelines), news.at_ms
                )  # fmt: skip
                if message:
                    listener.offer(None, message)

    def end_all(self, why: str) -> None:
        """Tell nobody anything more."""
        for each in list(self.listeners):
            each.end(why)


def id_of(place: EventPlace, at_ms: int) -> str:
    """Return the id of a place, which says since when nothing was told after it: so it is seen when it is too old."""
    return f"{place.position}-{place.id}-{at_ms}"


def message(kind: str, data: object, id: str | None = None) -> bytes:
    """Return a server-sent event."""
    text = json.dumps(data, separators=(",", ":"))
    return (f"id: {id}\n" if id else "").encode() + f"event: {kind}\ndata: {text}\n\n".encode()


def message_of(event: Told | OperationTold) -> bytes:
    """Return the message of an event."""
    if isinstance(event, OperationTold):
        return _of_operation(event)
    data = {
        "job": str(event.job),
        "work_item": None if event.item is None else str(event.item),
        "root_job": str(event.root),
        "pipeline": event.pipeline,
        "task": event.task,
        "run_id": event.run_id,
        "generation": event.generation,
        "reason": event.reason,
        "status": event.status,
        "label": event.label,
        "at": moment(event.at_ms),
    }
    return message(event.kind, data, id_of(event.place, event.at_ms))


def _of_operation(event: OperationTold) -> bytes:
    row = event.operation
    data = {
        "operation": str(row.id),
        "name": row.name,
        "action": row.action,
        "type": row.mode,
        "state": row.state,
        "error": row.error,
        "matched": row.matched,
        "done": row.done,
        "left_alone": row.skipped,
        "actor": row.actor,
        "at": moment(event.at_ms),
    }
    return message(event.kind, data, id_of(event.place, event.at_ms))


def moment(at_ms: int) -> str:
    """Return a moment as an ISO text."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


def _changed(jobs: Sequence[int], pipelines: Sequence[str], at_ms: int) -> bytes:
    if not jobs and not pipelines:
        return b""
    return message(CHANGED, {"jobs": [str(each) for each in jobs], "pipelines": list(pipelines), "at": moment(at_ms)})

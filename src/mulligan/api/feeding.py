"""The one thread of a server that reads the store for all who listen, woken by hints, with looking once a second behind them."""

from __future__ import annotations

import asyncio
import os
import selectors
import threading
import time
from collections.abc import Callable

from mulligan.api.listeners import Hub, News
from mulligan.core.errors import MulliganError
from mulligan.engine.engine import Engine
from mulligan.engine.feed import Feed, Told, View
from mulligan.engine.watchers import Watchers
from mulligan.store.interface import Hints
from mulligan.store.verbs.records import EventPlace
from mulligan.telemetry import Tell

LOOK_S = 1.0
"""So often it looks without a hint; so often listeners are told of changes, and keys are looked at, at most."""
GATHER_S = 0.05
"""The first hint makes a look at once; the next look is so long after that one, so that many hints make few."""
LINGERS_S = 30.0
"""It goes on for so long after the last listener has left: a page that is loaded anew finds it at work."""


class Feeding:
    """Begins with the first who listens, ends when nobody has for a while. `begin` and `stop` are safe to call twice."""

    def __init__(self, engine: Engine, watchers: Watchers, listen: Callable[[], Hints | None], tell: Tell) -> None:
        self.hub = Hub()
        self.feed = Feed(engine)
        self._engine = engine
        self._watchers = watchers
        self._listen = listen
        self._tell = tell
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._awake, self._alarm = -1, -1
        self._place = EventPlace(0, 0)
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Read for this event loop's listeners, from here on; False once it was stopped. Raises StoreError."""
        with self._lock:
            if self._stopping.is_set():
                return False
            self._loop = loop
            if self._thread is None:
                self._place = self.feed.end()
                self._awake, self._alarm = os.pipe()
                self._thread = threading.Thread(target=self._run, name="mulligan stream", daemon=True)
                self._thread.start()
        return True

    def stop(self) -> None:
        """Tell who listens that it is over, and end."""
        self._stopping.set()
        with self._lock:
            thread, loop = self._thread, self._loop
            if thread is not None:
                os.write(self._alarm, b"!")
        if loop is not None:
            self._call(loop, lambda: self.hub.end_all("the server ends"))
        if thread is not None:
            thread.join(5)

    def _run(self) -> None:
        view, heard, hints = View(self._engine), set[int](), self._listen()
        looked_at, wanted_at = 0.0, time.monotonic()
        with selectors.DefaultSelector() as ready:
            ready.register(self._awake, selectors.EVENT_READ)
            if hints is not None:
                ready.register(hints, selectors.EVENT_READ)
            while not self._stopping.is_set():
                now = time.monotonic()
                wanted_at = now if self.hub.listeners else wanted_at
                if now - wanted_at > LINGERS_S and self._leave():
                    break
                looks = now - looked_at >= LOOK_S
                looked_at = now if looks else looked_at
                self._read(view if looks else None, heard)
                read_at = time.monotonic()
                if ready.select(max(0.0, looked_at + LOOK_S - time.monotonic())) and hints is not None:
                    hints.drain()
                    self._stopping.wait(max(0.0, read_at + GATHER_S - time.monotonic()))
        if hints is not None:
            hints.close()
        if self._stopping.is_set():
            self._leave()

    def _leave(self) -> bool:
        """End, unless somebody has come meanwhile."""
        with self._lock:
            if self.hub.listeners and not self._stopping.is_set():
                return False
            self._thread = None
            os.close(self._awake)
            os.close(self._alarm)
        return True

    def _read(self, view: View | None, heard: set[int]) -> None:
        """Read what is new, and hand it to the event loop; what cannot be read now is read the next time."""
        try:
            more = True
            while more and not self._stopping.is_set():
                told, self._place, more = self.feed.after(self._place)
                heard |= {each.job for each in told if isinstance(each, Told)}
                self._publish(News(told, [], [], self._place, self._engine.clock.now_ms(), (set(), set())))
            if view is not None:
                self._look(view, heard)
        except MulliganError as error:
            self._tell("stream waits for the store", error=str(error))

    def _look(self, view: View, heard: set[int]) -> None:
        moved, pipelines = view.look(heard)
        heard.clear()
        listening = list(self.hub.listeners)
        logins = {each.login for each in listening if each.login is not None}
        ended = self._watchers.ended({each.wish.principal.id for each in listening}, logins)
        self._publish(News([], moved, pipelines, self._place, self._engine.clock.now_ms(), ended))

    def _publish(self, news: News) -> None:
        loop = self._loop
        if loop is not None:
            self._call(loop, lambda: self.hub.publish(news))

    def _call(self, loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
        try:
            loop.call_soon_threadsafe(what)
        except RuntimeError:  # the loop has ended, with everybody in it
            self.hub.listeners.clear()

"""When to look at what: one time per key, the earliest first."""

from __future__ import annotations

from heapq import heapify, heappop, heappush


class Deadlines:
    """A heap of times in monotonic seconds; setting and discarding leave stale entries, which are swept out in bulk."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        self._times: dict[int, float] = {}

    def set(self, key: int, time: float) -> None:
        """Look at this key then, and not when it was last set to."""
        self._times[key] = time
        heappush(self._heap, (time, key))
        if len(self._heap) > 64 + 4 * len(self._times):
            self._heap = [(each, other) for other, each in self._times.items()]
            heapify(self._heap)

    def discard(self, key: int) -> None:
        """Forget a key."""
        self._times.pop(key, None)

    def next(self) -> float | None:
        """Return the earliest time that is set."""
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[int]:
        """Take out the keys whose time has come."""
        keys = []
        while (time := self.next()) is not None and time <= now:
            key = heappop(self._heap)[1]
            del self._times[key]
            keys.append(key)
        return keys

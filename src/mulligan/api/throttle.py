"""How often something may be tried from one address, or asked for by one key: so many times at once, then more slowly."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

ADDRESSES = 1_000


class Throttle:
    """A token bucket for each of those seen last, in bounded memory; used by any thread."""

    def __init__(self, at_once: int, every_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Allow `at_once` tries, and one more every so many seconds."""
        self._at_once = at_once
        self._every_s = every_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, who: str) -> float:
        """Count a try where there is one left, and return 0, else after how many seconds there is."""
        with self._lock:
            now = self._monotonic()
            full_at = max(now, self._full_at.get(who, 0.0))
            wait_s = full_at - now - (self._at_once - 1) * self._every_s
            if wait_s > 0:
                return wait_s
            self._put(who, full_at + self._every_s)
        return 0.0

    def wait_s(self, address: str) -> float:
        """Return after how many seconds an address may try again; 0: now."""
        with self._lock:
            full_at = self._full_at.get(_network(address), 0.0)
        return max(0.0, full_at - self._monotonic() - (self._at_once - 1) * self._every_s)

    def count(self, address: str) -> None:
        """Count a try."""
        network, now = _network(address), self._monotonic()
        with self._lock:
            self._put(network, max(now, self._full_at.get(network, 0.0)) + self._every_s)

    def _put(self, who: str, full_at: float) -> None:
        self._full_at[who] = full_at
        self._full_at.move_to_end(who)
        while len(self._full_at) > ADDRESSES:
            self._full_at.popitem(last=False)


def _network(address: str) -> str:
    """Return what counts as one address: of IPv6 a whole /64, which is what one customer has."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    return str(ipaddress.ip_network((int(found) >> 64 << 64, 64))) if found.version == 6 else str(found)

"""The output of attempts: whose it is in the stream of a child, and how much of it is kept."""

from __future__ import annotations

import codecs

from mulligan.core.masking import open_end, spans
from mulligan.sdk.ports import AMBIENT

WAITS = 262_144
"""So much output waits at most for the rest of a secret."""


def marker(secret: str, attempt: int) -> bytes:
    """Return what a child writes between the output of two attempts; 0 stands for none."""
    return b"\0%s:%d\n" % (secret.encode(), attempt)


class Splitter:
    """Takes the stream of one child apart at the markers."""

    def __init__(self, secret: str) -> None:
        self._sign = b"\0" + secret.encode() + b":"
        self._rest = b""
        self.current = 0
        """The attempt that the child wrote for last."""
        self.begun: set[int] = set()
        """The attempts that it has written for; who knows how they ended takes them out."""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the output found in this data, each piece with its attempt."""
        first, *others = (self._rest + data).split(self._sign)
        self._rest = b""
        if not others:
            first = self._without_start(first)
        pieces = [(self.current, first)] if first else []
        for place, part in enumerate(others, 1):
            number, end, text = part.partition(b"\n")
            if not end:
                self._rest = self._sign + part
                break
            self.current = int(number) if number.isdigit() else 0
            self.begun.add(self.current)
            if place == len(others):
                text = self._without_start(text)
            if text:
                pieces.append((self.current, text))
        return pieces

    def _without_start(self, text: bytes) -> bytes:
        """Put by the start of a marker whose rest has not arrived."""
        at = text.rfind(b"\0", -len(self._sign))
        if at < 0 or not self._sign.startswith(text[at:]):
            return text
        self._rest = text[at:]
        return text[:at]


class Hiding:
    """Hides secrets in the output of one attempt, also where one arrives in pieces: the beginning of one waits for the rest."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take output, return what can be passed on of it now."""
        mask = AMBIENT.mask
        if not mask and not self._rest:
            return data
        data = self._rest + data
        ends = open_end(data, mask.forms)
        for start, end in reversed(spans(data, mask.forms)):
            if start < ends < end:  # what ends here may also begin another
                ends = start
        if len(data) - ends > WAITS:
            ends = len(data)
        self._rest = data[ends:]
        return mask.data(data[:ends])

    def close(self) -> bytes:
        """Return what waited for more."""
        rest, self._rest = self._rest, b""
        return AMBIENT.mask.data(rest)


class AttemptLog:
    """Output of one attempt: the first half of the limit is passed on live, of all that follows the end is kept."""

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._live = limit - self._half
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._tail = bytearray()
        self._left_out = 0
        self._hiding = Hiding()

    def feed(self, data: bytes) -> str:
        """Take output, return what to report of it now."""
        return self._take(self._hiding.feed(data))

    def _take(self, data: bytes) -> str:
        now = data[: self._live]
        self._live -= len(now)
        if len(now) < len(data):
            self._keep(data[len(now) :])
        return self._decoder.decode(now).replace("\0", "\ufffd")

    def close(self) -> str:
        """Return what remains to be reported when the attempt has ended."""
        return self._take(self._hiding.close()) + self._end()

    def _end(self) -> str:
        left_out = self._left_out + self._trim()
        start = self._decoder.decode(b"", final=not self._tail or left_out > 0)
        note = f"\n[… {left_out:,} bytes left out …]\n" if left_out else ""
        decoder = codecs.getincrementaldecoder("utf-8")("replace") if left_out else self._decoder
        return (start + note + decoder.decode(bytes(self._tail), final=True)).replace("\0", "\ufffd")

    def _keep(self, data: bytes) -> None:
        self._tail += data
        if len(self._tail) > 2 * self._half:
            self._left_out += self._trim()

    def _trim(self) -> int:
        surplus = max(0, len(self._tail) - self._half)
        del self._tail[:surplus]
        return surplus

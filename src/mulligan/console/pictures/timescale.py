"""A scale of time on which runs stay visible: where waits are much longer than runs, the longest of them are drawn shorter."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

LONGER = 4
"""How much longer than all that runs the rest must be before anything is drawn shorter than it is."""
IDLE = 1.5
"""How much longer the rest is drawn then."""

_S, _M, _H, _D = 1000, 60_000, 3_600_000, 86_400_000
_STEPS = (
    *(1, 2, 5, 10, 20, 50, 100, 200, 500),
    *(_S, 2 * _S, 5 * _S, 10 * _S, 15 * _S, 30 * _S),
    *(_M, 2 * _M, 5 * _M, 10 * _M, 15 * _M, 30 * _M),
    *(_H, 2 * _H, 3 * _H, 6 * _H, 12 * _H),
    *(_D, 2 * _D, 7 * _D, 14 * _D, 28 * _D, 91 * _D, 182 * _D, 364 * _D, 3640 * _D, 36400 * _D, 364000 * _D),
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of time and where it is drawn; `broken` is one that is drawn shorter than the others."""

    start_ms: int
    end_ms: int
    x: float
    width: float
    broken: bool


@dataclass(frozen=True, slots=True)
class Scale:
    """Pieces that follow one another; there is at least one."""

    pieces: tuple[Piece, ...]

    def x(self, ms: int) -> float:
        """Return where a moment is; one outside stands at the edge."""
        place = bisect_right(self.pieces, ms, key=lambda each: each.start_ms) - 1
        piece = self.pieces[max(0, place)]
        share = (ms - piece.start_ms) / (piece.end_ms - piece.start_ms)
        return piece.x + piece.width * min(1.0, max(0.0, share))


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment on the scale: its time, and its day where that is another than at the tick before."""

    x: float
    text: str
    day: str


def scale_of(busy: Sequence[tuple[int, int]], start_ms: int, end_ms: int, left: float, width: float) -> Scale:
    """Return a scale from `start_ms` to `end_ms` for what runs during `busy`, drawn from `left` on."""
    end_ms = max(end_ms, start_ms + 1)
    stretches = list(_stretches(_merged(busy, start_ms, end_ms), start_ms, end_ms))
    runs = sum(end - start for start, end, idle in stretches if not idle)
    waits = [end - start for start, end, idle in stretches if idle]
    cap = _cap(waits, IDLE * runs) if runs and sum(waits) > LONGER * runs else max(waits, default=0)
    shown = [min(end - start, cap) if idle else end - start for start, end, idle in stretches]
    total = sum(shown)
    pieces, x = [], left
    for (start, end, _), length in zip(stretches, shown, strict=True):
        pieces.append(Piece(start, end, x, width * (length / total), length < end - start))
        x += pieces[-1].width
    return Scale(tuple(pieces))


def ticks(scale: Scale, apart: float) -> list[Tick]:
    """Return moments worth a mark, at least `apart` from one another: round ones, and where a scale is broken, its ends."""
    step = _step(scale, apart)
    places: list[tuple[float, int]] = []
    broken = any(each.broken for each in scale.pieces)
    starts = [each.start_ms for each in scale.pieces if not each.broken] if broken else []
    rounds = [each for piece in scale.pieces if not piece.broken for each in _rounds(piece, step)]
    for ms in [*starts, *rounds]:
        x = scale.x(ms)
        if all(abs(x - other) >= apart for other, _ in places):
            places.append((x, ms))
    return list(_worded(sorted(places), max(step, _S) if broken else step))


def _merged(busy: Sequence[tuple[int, int]], start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    """Yield the times at which something runs, in order, without overlaps, and none that is empty."""
    open_start, open_end = start_ms, start_ms
    for start, end in sorted((max(start_ms, min(end_ms, a)), max(start_ms, min(end_ms, b))) for a, b in busy):
        if start > open_end:
            if open_end > open_start:
                yield open_start, open_end
            open_start, open_end = start, end
        else:
            open_end = max(open_end, end)
    if open_end > open_start:
        yield open_start, open_end


def _stretches(busy: Iterator[tuple[int, int]], start_ms: int, end_ms: int) -> Iterator[tuple[int, int, bool]]:
    """Yield all stretches from start to end; the last value says whether nothing runs in it."""
    reached = start_ms
    for start, end in busy:
        if start > reached:
            yield reached, start, True
        yield start, end, False
        reached = end
    if reached < end_ms:
        yield reached, end_ms, True


def _cap(lengths: Sequence[int], room: float) -> float:
    """Return the length to which all longer ones are cut, so that they take `room` together."""
    left = room
    for place, length in enumerate(ordered := sorted(lengths)):
        share = left / (len(ordered) - place)
        if length > share:
            return share
        left -= length
    return max(ordered, default=0)


def _step(scale: Scale, apart: float) -> int:
    lengths = [(each.end_ms - each.start_ms, each.width) for each in scale.pieces if not each.broken and each.width > 0]
    per_ms = sum(width for _, width in lengths) / max(1, sum(length for length, _ in lengths))
    return next((each for each in _STEPS if each * per_ms >= apart), _STEPS[-1])


def _rounds(piece: Piece, step: int) -> Iterator[int]:
    return iter(range(-(-piece.start_ms // step) * step, piece.end_ms + 1, step))


def _worded(places: Sequence[tuple[float, int]], step: int) -> Iterator[Tick]:
    before = ""
    for x, ms in places:
        at = datetime.fromtimestamp(ms / 1000, UTC)
        if step >= _D:
            text, day = f"{at.day} {at:%b}", f"{at.year:04}"
        else:
            text, day = at.strftime("%H:%M" if step >= _M else "%H:%M:%S"), f"{at.day} {at:%b} {at.year:04}"
        if step < _S:
            text += f".{at.microsecond // 1000:03}"
        yield Tick(x, text, day if day != before else "")
        before = day

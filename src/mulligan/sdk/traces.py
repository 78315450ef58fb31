"""Tracebacks and messages as text that can be stored: bounded in size, without Mulligan's own frames and without values."""

from __future__ import annotations

import linecache
import sysconfig
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache, partial
from itertools import islice
from types import CodeType, FrameType, TracebackType
from typing import TypeVar

from mulligan.core.failure import qualified_name

MAX_MESSAGE_BYTES = 4096
MAX_TRACEBACK_BYTES = 65536
MAX_FRAMES = 100
MAX_MEMBERS = 5
MAX_DEPTH = 3
MAX_CALLS = 2_000
NO_CALLS: tuple[tuple[str, ...], str | None] = ((), None)
OWN_CALLS = 5
"""So many calls of the project's own code are told of an exception, the innermost ones."""

T = TypeVar("T")


def safely(read: Callable[[], T], otherwise: T) -> T:
    """Return what `read` returns, or `otherwise` when users' code that it runs into raises anything at all."""
    try:
        return read()
    except BaseException:  # noqa: BLE001 - a property may raise even SystemExit, and the failure must be reported still
        return otherwise


def message_of(error: BaseException, limit: int = MAX_MESSAGE_BYTES) -> str:
    """Return the exception's own words, at most `limit` bytes of them, without characters that cannot be stored."""
    unread = "(its message could not be read: str() of it raised an error)"
    # join makes a plain str of what may be a subclass with methods of its own.
    return safely(lambda: clean("".join((str(error),)), limit), unread)


def traceback_text(links: Iterable[tuple[BaseException, str]]) -> str:
    """Return the tracebacks of exceptions and their messages, given outermost first, the first cause on top; 64 KiB at most."""
    parts = [safely(partial(_one, *link), "(a traceback could not be shown)\n") for link in links]
    return shortened("\nWhich led to:\n\n".join(reversed(parts)))


def own_calls(trace: TracebackType | None) -> tuple[tuple[str, ...], str | None]:
    """Return the innermost calls of the project's own code as module and function, innermost last, and the step they are in.

    Calls of Python's own modules, of installed packages and of Mulligan are left out, and so are line numbers: what is said stays
    the same when code above it changes.
    """
    calls: deque[str] = deque(maxlen=OWN_CALLS)
    step = None
    for frame, _ in islice(_calls(trace), MAX_CALLS):
        module = _module(frame)
        if (call := _own_call(frame.f_code, module)) is not None:
            calls.append(call)
        elif module == "mulligan.sdk.context" and frame.f_code.co_name in _STEPS:
            step = str(frame.f_locals.get("key", "")).partition(":")[0] or step
    return tuple(calls), step


def shortened(text: str, limit: int = MAX_TRACEBACK_BYTES) -> str:
    """Return text of at most `limit` bytes of UTF-8, its middle left out, without characters that cannot be stored."""
    # Cut by characters first, so that a huge text is not copied time and again; what is cut there is over the limit.
    whole = len(text)
    if whole > 2 * limit:
        text = text[:limit] + text[-limit:]
    raw = storable(text).encode()
    if len(raw) <= limit:
        return raw.decode()
    left_out = len(raw) - limit + whole - len(text)
    note = f"\n... {left_out:,} bytes left out ...\n".encode()
    half = (limit - len(note)) // 2
    return raw[:half].decode(errors="ignore") + note.decode() + raw[-half:].decode(errors="ignore")


def clean(text: str, limit: int) -> str:
    """Return the beginning of a text, at most `limit` bytes of UTF-8, without characters that cannot be stored."""
    raw = storable(text[: limit + 1]).encode()
    if len(raw) <= limit:
        return raw.decode()
    note = f" … ({len(text):,} characters in all)"
    return raw[: limit - len(note.encode())].decode(errors="ignore") + note


def storable(text: str) -> str:
    """Return the text with U+FFFD for NUL and for halves of surrogate pairs, which databases and UTF-8 refuse."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", "\ufffd")


def _one(error: BaseException, message: str, depth: int = 0) -> str:
    lines = _frames(error.__traceback__)
    name = safely(lambda: qualified_name(type(error)), "(a class without a name)")
    lines.append(f"{name}: {message}\n" if message else f"{name}\n")
    lines += safely(lambda: [f"{clean(str(note), MAX_MESSAGE_BYTES)}\n" for note in vars(error).get("__notes__", ())[:10]], [])
    if isinstance(error, BaseExceptionGroup) and depth < MAX_DEPTH:
        lines += _members(error, depth)
    return "".join(lines)


def _members(group: BaseExceptionGroup[BaseException], depth: int) -> list[str]:
    lines = []
    for number, member in enumerate(group.exceptions[:MAX_MEMBERS], 1):
        inner = _one(member, message_of(member), depth + 1).splitlines()
        lines.append(f"\n  Member {number} of {len(group.exceptions)}:\n" + "".join(f"  {line}\n" for line in inner))
    if len(group.exceptions) > MAX_MEMBERS:
        lines.append(f"\n  ... {len(group.exceptions) - MAX_MEMBERS} more members left out ...\n")
    return lines


def _frames(trace: TracebackType | None) -> list[str]:
    calls = deque(_calls(trace))
    while calls and _is_ours(_module(calls[0][0])):
        calls.popleft()
    # Where nobody else's code was reached, our own frames are all there is to see.
    calls = calls or deque(_calls(trace))
    if not calls:
        return []
    head = list(islice(calls, MAX_FRAMES // 2))
    tail = list(islice(reversed(calls), min(MAX_FRAMES // 2, len(calls) - len(head))))[::-1]
    left_out = len(calls) - len(head) - len(tail)
    lines = ["Traceback (most recent call last):\n", *(_call(frame, line) for frame, line in head)]
    lines += [f"  ... {left_out:,} calls left out ...\n"] if left_out else []
    return [*lines, *(_call(frame, line) for frame, line in tail)]


def _calls(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _call(frame: FrameType, line: int) -> str:
    # Not traceback.StackSummary, which asks the file system about every file, every time: failures must stay cheap.
    file = frame.f_code.co_filename
    source = linecache.getline(file, line, frame.f_globals).strip()
    said = f'  File "{file}", line {line}, in {frame.f_code.co_name}\n'
    return f"{said}    {clean(source, MAX_MESSAGE_BYTES)}\n" if source else said


_STEPS = frozenset({"step", "_step_async"})
"""The methods of Context that call a step: their `key` begins with its name."""


@cache
def _not_own() -> tuple[str, ...]:
    """Where the code is that is not the project's own."""
    paths = sysconfig.get_paths()
    return tuple({f"{paths[name]}/" for name in ("stdlib", "platstdlib", "purelib", "platlib")})


@lru_cache(maxsize=4096)
def _own_call(code: CodeType, module: str) -> str | None:
    """Return as what a call is told, if it is of the project's own code: the same calls fail again and again."""
    file = code.co_filename
    if file.startswith(("<frozen ", *_not_own())) or "/site-packages/" in file or "/dist-packages/" in file or _is_ours(module):
        return None
    return clean(f"{module or '?'}.{code.co_qualname}", 256)


def _module(frame: FrameType) -> str:
    name = frame.f_globals.get("__name__", "")
    return name if type(name) is str else str(name)


def _is_ours(module: str) -> bool:
    return (module == "mulligan" or module.startswith("mulligan.")) and not module.startswith("mulligan.demo")

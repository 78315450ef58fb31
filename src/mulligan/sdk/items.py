"""Work items to be: made of a call, of a sequence or of a range of time, one at a time and checked as they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from mulligan.core.durations import Duration, seconds
from mulligan.core.errors import ArgumentsInvalid
from mulligan.core.schedule import Instant, instant_ms, windows
from mulligan.core.shown import shown
from mulligan.core.submission import Cut, NewItem
from mulligan.sdk.options import MAX_NAME
from mulligan.sdk.signature import Signature
from mulligan.sdk.values import check_text
from mulligan.sdk.window import Window, normal

_NOTHING = object()


def of_call(signature: Signature, values: dict[str, Any]) -> tuple[NewItem, str]:
    """Return the one item of a call, and the time zone of its window."""
    window = _take_window(signature, values)
    text = signature.arguments.dump(values)
    if window is None:
        return NewItem("0", text), "UTC"
    return NewItem(window.key, text, (window.start_ms, window.end_ms)), window.tz


def of_sequence(
    signature: Signature, elements: Iterable[Any], key: Callable[[Any], str] | None, args: Mapping[str, Any] | None
) -> tuple[Iterator[NewItem], str]:
    """Return an item for each element, and the time zone of their windows; elements are read as the items are."""
    if isinstance(elements, (str, bytes, Mapping)) or not isinstance(elements, Iterable):
        raise ArgumentsInvalid(f"{signature.owner}: map takes a list or another sequence of elements, not {shown(elements)}")
    if key is not None and not callable(key):
        raise ArgumentsInvalid(
            f"{signature.owner}: key is a function that gives the key of an element, such as `key=str`, not {shown(key)}"
        )
    fixed = _fixed(signature, args)
    free = [name for name in signature.positional if name not in fixed]
    if not free:
        raise ArgumentsInvalid(f"{signature.owner}: map has no parameter left for the elements; leave one out of args")
    iterator = iter(elements)
    first = next(iterator, _NOTHING)
    tz = normal(first).tz if isinstance(first, Window) else "UTC"
    return _mapped(signature, _again(first, iterator), free[0], fixed, _keys(signature, key), tz), tz


def of_range(
    signature: Signature,
    start: Instant,
    end: Instant,
    every: Duration,
    tz: str,
    newest_first: bool,
    args: Mapping[str, Any] | None,
) -> tuple[Iterator[NewItem], Cut]:
    """Return an item for each window of a range, and the range; it and the arguments are checked at once."""
    if signature.window is None:
        raise ArgumentsInvalid(
            f"{signature.owner}: backfill needs a parameter annotated Window; add `window: Window`, or use map"
        )
    fixed = _fixed(signature, args)
    if signature.window in fixed:
        raise ArgumentsInvalid(f"{signature.owner}: {signature.window!r} is what backfill varies; leave it out of args")
    text = signature.arguments.dump(fixed)
    cut = windows(start, end, every, tz, newest_first)
    made = (NewItem(Window.of_ms(first, last, tz).key, text, (first, last)) for first, last in cut)
    return made, cut_of(start, end, every, tz, "newest" if newest_first else "oldest", text)


def cut_of(start: Instant, end: Instant, every: Duration, tz: str, order: str, arguments: str) -> Cut:
    """Return how a range is cut that was checked before."""
    return Cut(instant_ms(start, tz), instant_ms(end, tz), seconds(every), order, arguments)


def check_range(owner: str, only: object, order: object, accept_risk: object) -> None:
    """Refuse what is no way to choose and order the windows of a backfill; raises ArgumentsInvalid."""
    if only not in ("missing", "failed", "all"):
        raise ArgumentsInvalid(f"{owner}, only: expected 'missing', 'failed' or 'all', not {shown(only)}")
    if order not in ("oldest", "newest"):
        raise ArgumentsInvalid(f"{owner}, order: expected 'oldest' or 'newest', not {shown(order)}")
    if not isinstance(accept_risk, bool):
        raise ArgumentsInvalid(f"{owner}, accept_risk: expected True or False, not {shown(accept_risk)}")


def arguments_by_name(owner: str, args: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the arguments that all items share; raises ArgumentsInvalid for what is no mapping of names."""
    if args is None:
        return {}
    if not isinstance(args, Mapping) or not all(isinstance(name, str) for name in args):
        raise ArgumentsInvalid(f"{owner}: args are the arguments by name, such as {{'limit': 10}}, not {shown(args)}")
    return args


def _fixed(signature: Signature, args: Mapping[str, Any] | None) -> dict[str, Any]:
    return signature.bind((), arguments_by_name(signature.owner, args))


def _take_window(signature: Signature, values: dict[str, Any]) -> Window | None:
    if signature.window is None:
        return None
    if signature.window not in values:
        raise ArgumentsInvalid(f"{signature.owner}: the argument {signature.window!r} is missing: the Window to work on")
    window = values.pop(signature.window)
    if not isinstance(window, Window):
        raise ArgumentsInvalid(
            f"{signature.owner}: parameter {signature.window!r} takes a Window, not {shown(window)} ({type(window).__name__})"
        )
    return normal(window)


def _mapped(
    signature: Signature,
    elements: Iterable[Any],
    name: str,
    fixed: dict[str, Any],
    key_of: Callable[[int, Any, str | None], str],
    tz: str,
) -> Iterator[NewItem]:
    for number, element in enumerate(elements):
        values = {**fixed, name: element}
        window = _take_window(signature, values)
        text = signature.arguments.dump(values)
        range_ms = None if window is None else (window.start_ms, window.end_ms)
        named = None if range_ms is None else Window.of_ms(*range_ms, tz).key
        yield NewItem(key_of(number, element, named), text, range_ms)


def _again(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    """Put back the element that was read to learn the time zone."""
    if first is not _NOTHING:
        yield first
    yield from rest


def _keys(signature: Signature, key: Callable[[Any], str] | None) -> Callable[[int, Any, str | None], str]:
    """Return what names an item: the user's function, or the key of its window, or its number; each only once."""
    seen: dict[str, int] = {}

    def checked(number: int, element: Any, window: str | None) -> str:
        if key is None and window is None:
            return str(number)
        text = _given(signature, key, number, element) if key else str(window)
        if seen.setdefault(text, number) != number:
            what = f"have the same key {text!r}" if key else f"are the same window, {text}: name them with key=, or leave one out"
            raise ArgumentsInvalid(f"{signature.owner}: elements {seen[text]} and {number} {what}")
        return text

    return checked


def _given(signature: Signature, key: Callable[[Any], str], number: int, element: Any) -> str:
    text = key(element)
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_NAME:
        raise ArgumentsInvalid(
            f"{signature.owner}: key gave {shown(text)} for element {number}; it must give a text of 1 to {MAX_NAME} characters"
        )
    check_text(text, f"{signature.owner}: the key of element {number}")
    return text

"""What tests say that attempts shall end with, turned into what attempts raise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mulligan.core.errors import ConfigError
from mulligan.core.failure import Kind
from mulligan.sdk.induced import Induced, induce, one

Ending = str | BaseException | type[BaseException] | None
"""How an attempt ends: a word of `mulligan dryrun`, an exception, or None for what the function itself makes of it."""


def endings(fail: str | Iterable[Ending], space: Mapping[str, Any]) -> list[BaseException | None]:
    """Return the error of each attempt; None where it shall run. A text is a list of words; raises ConfigError."""
    if isinstance(fail, str):
        return [error for _, error in induce(fail, space)] if fail.strip() else []
    return [_ending(each, space) for each in fail]


def is_timeout(error: BaseException | None) -> bool:
    """Return whether an attempt shall take as long as it may."""
    return isinstance(error, Induced) and error.failure.kind is Kind.TIMEOUT


def _ending(each: object, space: Mapping[str, Any]) -> BaseException | None:
    match each:
        case None | BaseException():
            return each
        case str():
            return one(each, space)
        case type() if issubclass(each, BaseException):
            return each()
    raise ConfigError(f"fail: expected exceptions, words such as '503', or None for each attempt, not {each!r}")

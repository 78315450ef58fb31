"""Reads the facts of a failure off a live exception, whatever it is; what they amount to is decided in `core.failure`.

Nothing is imported to know an exception: its types are told by name, and its attributes are tried with care, since
properties of strangers may raise anything.
"""

from __future__ import annotations

import errno as errnos
import math
import sys
from functools import lru_cache, partial
from typing import Any, TypeGuard, TypeVar

from mulligan.core.durations import MAX_SECONDS
from mulligan.core.failure import ErrorFacts, Failure, Kind, qualified_name
from mulligan.core.job import FailureClass
from mulligan.sdk.traces import NO_CALLS, clean, message_of, own_calls, safely, traceback_text

MAX_LINKS = 20
"""So long may a chain of causes be; what lies deeper is left out."""
MAX_FACTS = 100
"""So many exceptions are looked at in one failure, members of groups included."""
MAX_TYPES = 100
LONG_MESSAGES = 16
"""So many messages of one failure may be of full length; those of the others are cut to 256 bytes."""

T = TypeVar("T", bound=BaseException)


def failure_of(error: BaseException, declared: FailureClass | None = None) -> Failure:
    """Return the facts of an exception; never raises, however the exception behaves.

    `declared` is what the task's own `classify` callable answered. Messages are cut to 4 KiB, the traceback to 64 KiB.
    """
    links = _links(error)
    chain = _chain(links, frozenset(), [MAX_FACTS])
    told = [(link, facts.message) for link, facts in zip(links, chain, strict=False)]
    trace = safely(lambda: traceback_text(told), "(the traceback could not be shown)\n")
    if _is_a(error, SystemExit):
        return Failure(Kind.EXIT, chain, exit_code=chain[0].exit_code, declared=declared, traceback=trace)
    return Failure(Kind.EXCEPTION, chain, declared=declared, traceback=trace)


def _chain(links: list[BaseException], seen: frozenset[int], left: list[int]) -> tuple[ErrorFacts, ...]:
    found = []
    for link in links:
        if left[0] <= 0:
            break
        left[0] -= 1
        seen |= {id(link)}
        found.append(_facts(link, seen, left))
    return tuple(found)


def _links(error: BaseException, seen: frozenset[int] = frozenset()) -> list[BaseException]:
    links: list[BaseException] = []
    known = set(seen)
    link: BaseException | None = error
    while link is not None and id(link) not in known and len(links) < MAX_LINKS:
        known.add(id(link))
        links.append(link)
        link = safely(partial(_behind, link), None)
    return links


def _behind(error: BaseException) -> BaseException | None:
    """What an exception came from: as raised `from`, as carried along, or as handled when it was raised."""
    handled = None if _get(error, "__suppress_context__") else _get(error, "__context__")
    args = _get(error, "args")
    for found in (_get(error, "__cause__"), _get(error, "reason"), handled, *(args if type(args) is tuple else ())):
        if _is_a(found, BaseException) and found is not error:
            return found
    return None


_TELLING = (OSError, SystemExit, BaseExceptionGroup)
"""Builtin exceptions that have more to tell than their type and message."""


def _facts(error: BaseException, seen: frozenset[int], left: list[int]) -> ErrorFacts:
    types = _types(type(error))
    message = message_of(error) if left[0] >= MAX_FACTS - LONG_MESSAGES else message_of(error, 256)
    frames, step = safely(lambda: own_calls(error.__traceback__), NO_CALLS)
    if safely(lambda: _is_plain(error), False):
        return ErrorFacts(types, message, frames=frames, step=step)
    return ErrorFacts(
        types=types,
        message=message,
        http_status=safely(lambda: _http_status(error, types), None),
        retry_after_s=safely(lambda: _retry_after(error), None),
        errno=safely(lambda: _errno(error, types), None),
        code=safely(lambda: _code(error, types), None),
        exit_code=safely(lambda: _exit_code(error, types), None),
        exit_class=safely(lambda: _exit_class(error, types), None),
        members=_members(error, seen, left),
        frames=frames,
        step=step,
    )


def _is_plain(error: BaseException) -> bool:
    """Whether there is nothing else to read, as with most failures; an attribute set by hand counts as something."""
    return type(error).__module__ == "builtins" and not issubclass(type(error), _TELLING) and not vars(error)


def _members(error: BaseException, seen: frozenset[int], left: list[int]) -> tuple[tuple[ErrorFacts, ...], ...]:
    if not _is_a(error, BaseExceptionGroup):
        return ()
    members: tuple[object, ...] = safely(lambda: tuple(error.exceptions), ())
    # Each member has its own way down: two of them may share a cause.
    chains = (_chain(_links(each, seen), seen, left) for each in members if _is_a(each, BaseException) and left[0] > 0)
    return tuple(chain for chain in chains if chain)


def _types(cls: type) -> tuple[str, ...]:
    # A class whose own class is a stranger's may do anything when it is looked up.
    return _known_types(cls) if type(cls) is type else _types_of(cls)


def _types_of(of: type) -> tuple[str, ...]:
    mro: list[type] = safely(lambda: list(type.mro(of)), [of])
    return tuple(_class_name(cls) for cls in mro[:MAX_TYPES] if cls is not object and cls is not BaseException)


_known_types = lru_cache(maxsize=256)(_types_of)


def _class_name(cls: type) -> str:
    return safely(lambda: clean(qualified_name(cls), 512), "(a class without a name)")


def _get(owner: object, name: str) -> Any:
    """Return an attribute, or None where there is none or reading it raises."""
    try:
        return getattr(owner, name, None)
    except BaseException:  # noqa: BLE001 - see `safely`, which costs too much for something done so often
        return None


_CODE_IS_STATUS = frozenset({"urllib.error.HTTPError", "google.api_core.exceptions.GoogleAPICallError"})
"""Types whose `code` is an HTTP status; elsewhere it may be anything: an exit code, a MongoDB error number."""


def _http_status(error: BaseException, types: tuple[str, ...]) -> int | None:
    # Never `response or …`: a requests.Response with an error status is false.
    response = _get(error, "response")
    candidates = [_get(response, "status_code"), _get(error, "status_code")]
    if not _CODE_IS_STATUS.isdisjoint(types):
        candidates.append(_get(error, "code"))
    candidates += [_get(error, "status"), _get(response, "status")]
    if isinstance(response, dict) and _aws_code(response) is None:
        candidates.append(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    return next((int(each) for each in candidates if _is_number(each) and 100 <= each <= 999), None)


def _retry_after(error: BaseException) -> float | None:
    given = _get(error, "retry_after")
    if _is_number(given):
        return _bounded(float(given))
    for owner in (_get(error, "response"), error):
        headers = _get(owner, "headers")
        if headers is not None and (value := _header(headers, "Retry-After")) is not None:
            return _wait(value, _header(headers, "Date"))
    return None


def _header(headers: Any, name: str) -> str | None:
    for spelt in (name, name.lower()):
        value = headers.get(spelt)
        if isinstance(value, (str, int)):
            return str(value).strip()
    return None


def _wait(value: str, date: str | None) -> float | None:
    """Seconds of a Retry-After: a number, or a date, which is taken by the sender's clock where it told its time."""
    try:
        return _bounded(float(value))
    except ValueError:
        pass
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    now = safely(lambda: parsedate_to_datetime(date or ""), datetime.now(UTC))
    return _bounded((_aware(parsedate_to_datetime(value)) - _aware(now)).total_seconds())


def _aware(moment: Any) -> Any:
    from datetime import UTC

    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _bounded(wait_s: float) -> float | None:
    return min(max(wait_s, 0.0), MAX_SECONDS) if math.isfinite(wait_s) else None


def _errno(error: BaseException, types: tuple[str, ...]) -> str | None:
    # The numbers of ssl errors and of herror are not errnos.
    if not _is_a(error, OSError) or "ssl.SSLError" in types or "socket.herror" in types:
        return None
    number = _get(error, "errno")
    if not _is_number(number):
        return None
    return _address_error(number) if "socket.gaierror" in types else errnos.errorcode.get(int(number))


def _address_error(number: float) -> str | None:
    socket = sys.modules.get("socket")
    names = [name for name in dir(socket) if name.startswith("EAI_") and _get(socket, name) == number]
    return min(names, default=None)


def _code(error: BaseException, types: tuple[str, ...]) -> str | None:
    response = _get(error, "response")
    candidates = [_get(error, "sqlstate"), _get(error, "pgcode"), _get(error, "sqlite_errorname")]
    if isinstance(response, dict):
        candidates.append(_aws_code(response))
    if any(name.startswith("grpc.") for name in types):
        candidates.append(_get(safely(_get(error, "code"), None), "name"))
    candidates.append(_get(_get(error, "grpc_status_code"), "name"))
    if "ssl.SSLError" in types:
        candidates.append(_get(error, "reason"))
    return next((clean(each, 128) for each in candidates if isinstance(each, str) and each), None)


def _aws_code(response: dict[Any, Any]) -> str | None:
    """The error code of an AWS answer. It tells more than the status: throttling comes as 400 or 503."""
    code = response.get("Error", {}).get("Code")
    return code if isinstance(code, str) and code and not code.isdigit() else None


def _exit_code(error: BaseException, types: tuple[str, ...]) -> int | None:
    if _is_a(error, SystemExit):
        return _system_exit(_get(error, "code"))
    code = _get(error, "returncode") if "subprocess.CalledProcessError" in types else None
    return int(code) if _is_number(code) and -1000 < code < 2**32 else None


def _exit_class(error: BaseException, types: tuple[str, ...]) -> FailureClass | None:
    given = _get(error, "exit_class") if "mulligan.sdk.command.CommandFailed" in types else None
    return given if isinstance(given, FailureClass) else None


def _system_exit(code: object) -> int:
    """What the process would have ended with: nothing counts as 0, anything but a number as 1."""
    if code is None:
        return 0
    return int(code) & 0xFF if isinstance(code, int) else 1


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_a(value: object, cls: type[T]) -> TypeGuard[T]:
    # Not isinstance: it asks the value for its __class__, which may be a property that raises.
    return issubclass(type(value), cls)

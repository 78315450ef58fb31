"""The options of a task and of one call: checked where they are written, turned into plain units."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack

from mulligan.core.durations import Duration, seconds
from mulligan.core.errors import ConfigError, WindowInvalid
from mulligan.core.job import FailureClass
from mulligan.core.retry import Policy
from mulligan.core.schedule import to_ms
from mulligan.core.shown import shown
from mulligan.core.submission import RUN_IDS, Options, is_run_id

Classify = Mapping[type[BaseException] | str | int, FailureClass] | Callable[[BaseException], FailureClass | None]
Executor = Literal["process", "async"]

MAX_NAME = 200
MAX_CONCURRENCY = 1_000_000
MAX_MEMORY = 2**60

_NAME = re.compile(r"[^\W\d][\w.\-]*")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB|KIB|MIB|GIB|TIB)?", re.IGNORECASE)
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """What `@task` was given, checked; times in seconds."""

    name: str
    policy: Policy
    timeout_s: float | None
    total_timeout_s: float | None
    heartbeat_timeout_s: float | None
    uses: tuple[str, ...]
    offline: bool | None
    online: bool | None
    idempotent: bool | None
    rules: tuple[tuple[type[BaseException] | str, FailureClass], ...]
    classifier: Callable[[BaseException], FailureClass | None] | None
    concurrency: int | None
    priority: int
    memory_bytes: int | None
    executor: str
    runbook: str | None


class TaskKeywords(TypedDict, total=False):
    """The options of `@task`, as they are written."""

    name: str | None
    retries: object
    timeout: Duration | None
    total_timeout: Duration | None
    heartbeat_timeout: Duration | None
    uses: Iterable[str]
    offline: bool | None
    online: bool | None
    idempotent: bool | None
    classify: Classify | None
    concurrency: int | None
    priority: int
    resources: Mapping[str, int | str] | None
    executor: Executor | None
    runbook: str | None


def task_options(fn: Callable[..., Any], *, workflow: bool = False, **given: Unpack[TaskKeywords]) -> TaskOptions:
    """Check the options of a task or a workflow; raises ConfigError that names it and the option."""
    name = given.get("name")
    name = fn.__name__ if name is None else name
    owner = f"{'workflow' if workflow else 'task'} {name!r}"
    classify = given.get("classify")
    return TaskOptions(
        name=_name(name, owner),
        policy=_policy(given.get("retries"), owner),
        timeout_s=_limit(given.get("timeout"), f"{owner}, timeout"),
        total_timeout_s=_limit(given.get("total_timeout"), f"{owner}, total_timeout"),
        heartbeat_timeout_s=_limit(given.get("heartbeat_timeout"), f"{owner}, heartbeat_timeout"),
        uses=_uses(given.get("uses", ()), owner),
        offline=_flag(given.get("offline"), f"{owner}, offline"),
        online=_flag(given.get("online"), f"{owner}, online"),
        idempotent=_flag(given.get("idempotent"), f"{owner}, idempotent"),
        rules=() if classify is None or callable(classify) else _rules(classify, owner),
        classifier=classify if callable(classify) else None,
        concurrency=_concurrency(given.get("concurrency"), owner),
        priority=_priority(given.get("priority", 3), owner),
        memory_bytes=_memory(given.get("resources"), owner),
        executor="workflow" if workflow else _executor(given.get("executor"), inspect.iscoroutinefunction(fn), owner),
        runbook=_text(given.get("runbook"), f"{owner}, runbook"),
    )


OPTION_NAMES = frozenset(TaskKeywords.__annotations__)


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What `.options(…)` was given, checked; `expires_after_s` counts from the submission."""

    base: Options
    expires_after_s: float | None = None

    def now(self) -> Options:
        """Return the options of a submission made at this moment."""
        if self.expires_after_s is None:
            return self.base
        return replace(self.base, expires_ms=round((time.time() + self.expires_after_s) * 1000))


def call_options(
    owner: str,
    *,
    run_id: str | None = None,
    priority: int | None = None,
    delay: Duration | None = None,
    start_at: datetime | None = None,
    expires: datetime | Duration | None = None,
    labels: Mapping[str, str] | None = None,
    total_timeout: Duration | None = None,
    key: str | None = None,
) -> CallOptions:
    """Check the options for one call; raises ConfigError that names the task and the option."""
    if delay is not None and start_at is not None:
        raise ConfigError(f"{owner}: give either delay or start_at, not both")
    base = Options(
        run_id=None if run_id is None else _run_id(run_id, owner),
        priority=None if priority is None else _priority(priority, owner),
        delay_s=None if delay is None else seconds(delay, f"{owner}, delay"),
        start_at_ms=None if start_at is None else _moment(start_at, f"{owner}, start_at"),
        expires_ms=_moment(expires, f"{owner}, expires") if isinstance(expires, datetime) else None,
        labels=_labels(labels or {}, owner),
        total_timeout_s=_limit(total_timeout, f"{owner}, total_timeout"),
        key=None if key is None else _key(key, owner),
    )
    after_s = None if expires is None or isinstance(expires, datetime) else _limit(expires, f"{owner}, expires")
    return CallOptions(base, after_s)


def _name(name: object, owner: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise ConfigError(
            f"{owner}: a name starts with a letter and holds letters, digits, '_', '-' and '.', {MAX_NAME} at most; "
            "give one with name="
        )
    return name


def _policy(form: object, owner: str) -> Policy:
    try:
        return Policy.of(form)
    except ConfigError as error:
        raise type(error)(f"{owner}, retries: {error}") from None


def _limit(value: Duration | None, what: str) -> float | None:
    if value is None:
        return None
    result = seconds(value, what)
    if result == 0:
        raise ConfigError(f"{what}: must be longer than nothing; leave it out for no limit")
    return result


def _uses(value: object, owner: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigError(f"{owner}, uses: expected a list of names such as ['warehouse'], not {shown(value)}")
    names = tuple(value)
    for each in names:
        if not isinstance(each, str) or not _NAME.fullmatch(each):
            raise ConfigError(f"{owner}, uses: {shown(each)} is not the name of a dependency")
    if len(set(names)) < len(names):
        raise ConfigError(f"{owner}, uses: a name stands there twice")
    return names


def _flag(value: object, what: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise ConfigError(f"{what}: expected True, False or nothing, not {shown(value)}")
    return value


def _rules(classify: object, owner: str) -> tuple[tuple[type[BaseException] | str, FailureClass], ...]:
    if not isinstance(classify, Mapping):
        raise ConfigError(f"{owner}, classify: expected a mapping or a function, not {shown(classify)}")
    return tuple((_rule(key, owner), _class(value, key, owner)) for key, value in classify.items())


def _rule(key: object, owner: str) -> type[BaseException] | str:
    if isinstance(key, type) and issubclass(key, BaseException):
        return key
    if isinstance(key, int) and not isinstance(key, bool) and 0 <= key <= 255:
        return f"exit:{key}"
    if isinstance(key, str) and all(part.isidentifier() for part in key.split(".")):
        return key
    raise ConfigError(
        f"{owner}, classify: {shown(key)} is neither an exception class, nor the qualified name of one such as "
        "'requests.exceptions.ConnectionError', nor an exit code from 0 to 255"
    )


def _class(value: object, key: object, owner: str) -> FailureClass:
    try:
        return FailureClass(value)  # type: ignore[arg-type]  # whatever it is, the enum refuses what is no class
    except ValueError:
        raise ConfigError(
            f"{owner}, classify: {shown(key)} has no failure class ({', '.join(FailureClass)}), but {shown(value)}"
        ) from None


def _concurrency(value: object, owner: str) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_CONCURRENCY):
        return value
    raise ConfigError(f"{owner}, concurrency: expected a whole number from 1 to {MAX_CONCURRENCY:,}, not {shown(value)}")


def _priority(value: object, owner: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 5:
        return value
    raise ConfigError(f"{owner}, priority: expected 1 (first) to 5 (last), not {shown(value)}")


def _memory(resources: object, owner: str) -> int | None:
    if resources is None:
        return None
    if not isinstance(resources, Mapping) or set(resources) - {"memory"}:
        raise ConfigError(f"{owner}, resources: expected {{'memory': '2GB'}}, not {shown(resources)}")
    value = resources.get("memory")
    size = _bytes(value)
    if size is None or not 0 < size <= MAX_MEMORY:
        raise ConfigError(
            f"{owner}, resources: memory is a size such as '2GB' or '512MiB', or a number of bytes, not {shown(value)}"
        )
    return size


def _bytes(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    return None if found is None else int(min(float(found[1]), 2.0**61) * _UNITS[(found[2] or "B").upper()])


def _executor(value: object, asynchronous: bool, owner: str) -> str:
    fitting = "async" if asynchronous else "process"
    if value is None or value == fitting:
        return fitting
    kind = "an `async def`" if asynchronous else "a plain `def`"
    raise ConfigError(f"{owner}, executor: {kind} runs in the executor {fitting!r}, not in {shown(value)}; leave it out")


def _text(value: object, what: str) -> str | None:
    if value is not None and (not isinstance(value, str) or not value.strip() or not _storable(value)):
        raise ConfigError(f"{what}: expected a text, not {shown(value)}")
    return value


def _storable(value: str) -> bool:
    return not any(each == "\0" or "\ud800" <= each <= "\udfff" for each in value)


def _run_id(value: object, owner: str) -> str:
    if isinstance(value, str) and is_run_id(value) and value == value.strip():
        return value
    raise ConfigError(f"{owner}, run_id: expected {RUN_IDS}, not {shown(value)}")


def _key(value: object, owner: str) -> str:
    if isinstance(value, str) and value.strip() and value.isprintable() and len(value) <= MAX_NAME:
        return value
    raise ConfigError(f"{owner}, key: expected a text of 1 to {MAX_NAME} printable characters, not {shown(value)}")


def _moment(value: object, what: str) -> int:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise ConfigError(f"{what}: expected a datetime that has a time zone, not {shown(value)}")
    try:
        return to_ms(value.replace(microsecond=value.microsecond // 1000 * 1000), what)
    except WindowInvalid as error:
        raise ConfigError(str(error)) from None


def _labels(labels: object, owner: str) -> dict[str, str]:
    if not isinstance(labels, Mapping):
        raise ConfigError(f"{owner}, labels: expected a mapping of texts, not {shown(labels)}")
    for pair in labels.items():
        if not all(isinstance(each, str) and each.isprintable() and len(each) <= MAX_NAME for each in pair):
            raise ConfigError(f"{owner}, labels: {shown(pair)} are not two texts of at most {MAX_NAME} printable characters")
    if "" in labels:
        raise ConfigError(f"{owner}, labels: a label's name is empty")
    return dict(labels)

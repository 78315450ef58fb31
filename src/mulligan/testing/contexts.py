"""A Context for unit tests of functions that take one: told what it shall say, and telling what was done with it."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mulligan.core.attempt import AttemptInfo, StopCause
from mulligan.core.durations import Duration, seconds
from mulligan.core.errors import ArgumentsInvalid
from mulligan.sdk.context import Context
from mulligan.sdk.signature import qualified_name, result_of
from mulligan.sdk.values import dump_any
from mulligan.sdk.window import Window


@dataclass(slots=True)
class Recorder:
    """Implements `mulligan.sdk.ports.Channel`; keeps all it hears."""

    left_s: float | None = None
    saved: dict[str, str] = field(default_factory=dict)
    cursors: list[Any] = field(default_factory=list)
    told: list[tuple[float, float]] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    cause: StopCause | None = None
    callbacks: list[Callable[[], None]] = field(default_factory=list)

    def call(self, name: Literal["step", "cursor", "submit"], payload: str) -> str:
        """Keep it."""
        if name == "cursor":
            self.cursors.append(json.loads(payload))
        else:
            values = json.loads(payload)
            self.saved[values["key"]] = values["value"]
        return "null"

    def progress(self, done: float, total: float) -> None:
        """Keep it."""
        self.told.append((done, total))

    def output(self, rows: int) -> None:
        """Keep it."""
        self.rows.append(rows)

    def artifacts(self) -> str:
        """Return nothing: relative paths have no place here."""
        return ""

    def touch(self) -> None:
        """Nobody watches for silence."""

    def stopping(self) -> StopCause | None:
        """Return why it was asked to stop."""
        return self.cause

    def time_left(self) -> float | None:
        """Return what it was made with."""
        return self.left_s

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Call back when the test stops it, at once if it has."""
        if self.cause is None:
            self.callbacks.append(callback)
        else:
            callback()


class RecordedContext(Context):
    """A Context that no worker stands behind; made by `context`. What was done with it is in the properties below."""

    def __init__(self, info: AttemptInfo, recorder: Recorder, given: Mapping[str, Any]) -> None:
        super().__init__(info, recorder)
        self._recorder = recorder
        self._given = given
        self._done: list[str] = []

    def step(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call `f` as a step, or return what the test gave for it, whatever its arguments."""
        for known in (qualified_name(f), str(getattr(f, "__qualname__", "")), str(getattr(f, "__name__", ""))):
            if known in self._given:
                self._alive()
                result = result_of(f)
                value = result.load(dump_any(self._given[known], f"step {known}"))
                is_async = inspect.iscoroutinefunction(f) or inspect.iscoroutinefunction(getattr(f, "fn", None))
                return _soon(value) if is_async else value
        return super().step(f, *args, **kwargs)

    @property
    def steps(self) -> list[tuple[str, Any]]:
        """The steps that were run and saved here, in order: the name of the function, and its result as JSON gives it back."""
        return [(key.split(":", 1)[0].rpartition(".")[2], json.loads(value)) for key, value in self._recorder.saved.items()]

    @property
    def cursors(self) -> list[Any]:
        """All values that `checkpoint` was given, in order."""
        return self._recorder.cursors

    @property
    def progressed(self) -> list[tuple[float, float]]:
        """What `progress` was told: done, total."""
        return self._recorder.told

    @property
    def outputs(self) -> list[int]:
        """What `output` was told: rows, each time in all."""
        return self._recorder.rows

    def stop(self, cause: StopCause = "cancel") -> None:
        """Ask the attempt to stop, as a worker would: the next call on the context raises Stopped."""
        self._recorder.cause = cause
        callbacks, self._recorder.callbacks = self._recorder.callbacks, []
        for each in callbacks:
            each()


def context(
    *,
    run_id: str = "test",
    key: str | None = None,
    window: Window | None = None,
    attempt: int = 1,
    generation: int = 1,
    cursor: Any = None,
    steps: Mapping[Callable[..., Any] | str, Any] | None = None,
    time_left: Duration | None = None,
) -> RecordedContext:
    """Make a Context for a test: `f.fn(context(attempt=2), "a.csv")`.

    `cursor` is what an earlier attempt left. `steps` are the results of steps that it had saved, by the function or its name:
    those are not called again. The key is that of the window, or "0". Raises ArgumentsInvalid for what is no JSON.
    """
    whose = None if window is None else (window.start_ms, window.end_ms, window.tz)
    info = AttemptInfo(
        job="1",
        run_id=run_id,
        key=key if key is not None else "0" if window is None else window.key,
        number=0,
        attempt=attempt,
        generation=generation,
        window=whose,
        cursor=None if cursor is None else dump_any(cursor, "cursor"),
        steps=(),
    )
    given = {_name(step): value for step, value in (steps or {}).items()}
    return RecordedContext(info, Recorder(None if time_left is None else seconds(time_left, "time_left")), given)


def _name(step: Callable[..., Any] | str) -> str:
    if isinstance(step, str):
        return step
    if not callable(step) or isinstance(step, functools.partial):
        raise ArgumentsInvalid(f"steps: expected functions or their names, not {step!r}")
    return qualified_name(step)


async def _soon(value: Any) -> Any:
    return value

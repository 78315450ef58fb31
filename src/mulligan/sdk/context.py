"""Context: what a running attempt knows of itself, saves, and tells."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import operator
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from mulligan.core.attempt import AttemptInfo, StopCause
from mulligan.core.errors import ArgumentsInvalid
from mulligan.core.shown import shown
from mulligan.core.signals import Stopped
from mulligan.sdk.ports import Channel
from mulligan.sdk.secret import Secret
from mulligan.sdk.window import Window

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from mulligan.core.durations import Duration
    from mulligan.core.job import FailureClass
    from mulligan.sdk.command import Command
    from mulligan.sdk.publishing import Publishing

P = ParamSpec("P")
T = TypeVar("T")


class Context:
    """One running attempt of a work item; a parameter annotated with it is injected.

    After the attempt was asked to stop, the next `step`, `checkpoint`, `progress` or `output` raises `Stopped`.
    """

    def __init__(self, info: AttemptInfo, channel: Channel) -> None:
        self._info = info
        self._channel = channel
        self._steps = dict(info.steps)
        self._cursor = info.cursor
        self._occurrences: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def run_id(self) -> str:
        """The run id of the job."""
        return self._info.run_id

    @property
    def key(self) -> str:
        """The key of the work item within its job."""
        return self._info.key

    @cached_property
    def idempotency_key(self) -> str:
        """A key to send along where the other side drops repeats: the same in every attempt and generation of the item.

        Of a call of a workflow also where the workflow is restarted, which makes it another work item.
        """
        identity = f"{self._info.run_id}/{self._info.path or f'{self._info.job}/{self._info.number}'}"
        return hashlib.sha256(identity.encode()).hexdigest()[:32]

    @property
    def attempt(self) -> int:
        """The number of this attempt in its generation, from 1."""
        return self._info.attempt

    @property
    def generation(self) -> int:
        """1 for what was submitted, one more for each manual retry or overwrite."""
        return self._info.generation

    @cached_property
    def window(self) -> Window | None:
        """The window of the work item, if it is for one."""
        return None if self._info.window is None else Window.of_ms(*self._info.window)

    @property
    def cursor(self) -> Any:
        """What the last `checkpoint` saved, in this or an earlier attempt; None before the first."""
        return None if self._cursor is None else json.loads(self._cursor)

    @property
    def stopping(self) -> StopCause | None:
        """Why the attempt was asked to stop: "cancel", "drain" or "timeout"; None while it was not."""
        return self._channel.stopping()

    @property
    def time_left(self) -> float | None:
        """Seconds until the time limit of this attempt; None without one."""
        return self._channel.time_left()

    @cached_property
    def log(self) -> FilteringBoundLogger:
        """A structlog logger whose lines go to the log of this attempt."""
        from mulligan.sdk.logs import attempt_logger

        return attempt_logger()

    def on_stop(self, f: Callable[[], None]) -> None:
        """Call `f` once, from another thread, when the attempt is asked to stop."""
        self._channel.on_stop(f)

    @overload
    def step(self, f: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]: ...
    @overload
    def step(self, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    def step(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call `f` and save its result, durable when this returns; a later attempt gets the saved result instead.

        A step is known by the name of `f`, its arguments and how often it was called with them before. The result
        goes through JSON, so that the first run and a recovery see the same. A failing `f` is not saved. What an
        `async def` returns must be awaited. Raises ArgumentsInvalid, ResultInvalid, ValueTooLarge.
        """
        from mulligan.sdk.signature import result_of

        self._alive()
        result = result_of(f)
        key = self._step_key(f, args, kwargs)
        if inspect.iscoroutinefunction(f) or inspect.iscoroutinefunction(getattr(f, "fn", None)):
            return self._step_async(functools.partial(f, *args, **kwargs), key, result)
        saved = self._saved_step(key)
        if saved is not None:
            return result.load(saved)
        text = result.dump(f(*args, **kwargs))
        self._channel.call("step", _step_payload(key, text))
        return self._saved(key, text, result)

    def checkpoint(self, value: Any) -> None:
        """Save a cursor in place of the last one; durable when this returns. Raises ArgumentsInvalid, ValueTooLarge."""
        from mulligan.sdk.values import dump_any

        self._alive()
        text = dump_any(value, "checkpoint")
        self._channel.call("cursor", text)
        self._cursor = text

    def progress(self, done: float, total: float = 1) -> None:
        """Tell how far the attempt is: `done` of `total`, in any unit; more than all counts as all."""
        self._alive()
        _number("done", done)
        _number("total", total)
        if done < 0 or total <= 0:
            raise ArgumentsInvalid(
                f"progress: done must not be negative and total must be above 0, not {shown(done)} of {shown(total)}"
            )
        self._channel.progress(min(float(done), float(total)), float(total))

    def output(self, *, rows: int) -> None:
        """Tell how many rows the attempt has written so far, in all: decides whether overwriting is safe."""
        self._alive()
        try:
            count = operator.index(rows)
        except TypeError:
            count = -1
        if not 0 <= count < 2**63 or isinstance(rows, bool):
            raise ArgumentsInvalid(f"output: rows must be a whole number from 0 to 2**63 - 1, not {shown(rows)}")
        self._channel.output(count)

    def artifact(self, path: str, *, inputs: Mapping[str, Any] | Sequence[Any] = ()) -> Publishing:
        """Publish a file, once for each run: use it as `with ctx.artifact("models/{run_id}/model.bin") as a:`.

        `a.exists` says that this run has made it already; otherwise write the file `a.path`. It is published when the block
        ends without an exception, with a manifest beside it; `a.artifact` is its `Artifact` then. `path` is relative to the
        setting `artifacts`, absolute, or a URL of fsspec; `{run_id}`, `{key}` and `{window}` stand for those of the work item.
        `inputs`: the artifacts and values it is made of, for the manifest. Restart and overwrite make it anew.
        Raises ArgumentsInvalid, ConfigError, and ArtifactConflict where something else is there.
        """
        from mulligan.sdk.artifacts import digests, locate
        from mulligan.sdk.publishing import Maker, Publishing

        self._alive()
        info = self._info
        names = {"run_id": info.run_id, "key": info.path or info.key, "window": None if self.window is None else self.window.key}
        item = info.path or f"{info.job}-{info.number}"
        maker = Maker(
            info.run_id, info.path or info.key, item, self.idempotency_key, info.keep_from, info.generation, info.attempt
        )
        made_of = digests(inputs if isinstance(inputs, Mapping) else list(inputs))
        return Publishing(locate(path, self._channel.artifacts(), names), maker, made_of, self._alive, self.log)

    def run(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        exit_codes: Mapping[int, FailureClass] = MappingProxyType({}),
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str | None] | None = None,
        input: str | bytes | None = None,
        check: bool = True,
        on_stop: Callable[[str], object] | None = None,
        timeout: Duration | None = None,
    ) -> Command:
        """Run a program to its end, with its output in the attempt's log; in a coroutine write `await ctx.run(…)`.

        Raises CommandFailed where it ends with anything but 0, unless `check` is off: `exit_codes` says of which failure class
        a code is, such as `{75: TRANSIENT}`; of other codes the task's classify and the rules say it. `env` are changes to
        the environment, None removes a variable. When the attempt is asked to stop, and after `timeout`, the program gets
        SIGTERM, and `on_stop` is called with the end of its output, from another thread. No shell is involved.
        """
        from mulligan.sdk.command import Command, runs_in_loop

        self._alive()
        options = {"exit_codes": exit_codes, "cwd": cwd, "env": env, "input": input}
        command = Command(self._channel, argv, {**options, "check": check, "on_stop": on_stop, "timeout": timeout})
        return command if runs_in_loop() else command.run()

    def _saved_step(self, key: str) -> str | None:
        """Return what was saved of a step, if all artifacts that it names are still there."""
        saved = self._steps.get(key)
        if saved is None or '"sha256"' not in saved:
            return saved
        from mulligan.sdk.artifacts import lost

        why = lost(saved)
        if why is None:
            return saved
        self.log.warning("a saved step is repeated, since its artifact is lost", step=key.partition(":")[0], why=why)
        return None

    def _alive(self) -> None:
        self._channel.touch()
        cause = self._channel.stopping()
        if cause is not None:
            raise Stopped(cause)

    def _step_key(self, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        from mulligan.sdk.signature import qualified_name

        owner = getattr(f, "__self__", None)
        bound = owner is not None and not isinstance(owner, (type, ModuleType))
        if bound or isinstance(f, functools.partial) or not hasattr(f, "__qualname__"):
            raise ArgumentsInvalid(
                f"step: {shown(f)} carries values that the step would not be known by, so recover could mistake it for another; "
                "pass a function, and those values as its arguments"
            )
        name = qualified_name(f).encode("utf-8", "replace").decode()  # a function may be called anything
        if name.endswith("<lambda>"):
            raise ArgumentsInvalid("step: a lambda has no name to know the step by; pass a function, then its arguments")
        base = f"{name}:{_digest(name, args, kwargs)}"
        with self._lock:
            place = self._occurrences[base] = self._occurrences.get(base, 0) + 1
        return f"{base}:{place}"

    async def _step_async(self, f: Callable[[], Coroutine[Any, Any, Any]], key: str, result: Any) -> Any:
        import asyncio

        saved = self._steps.get(key) and await asyncio.to_thread(self._saved_step, key)
        if saved is not None:
            return result.load(saved)
        text = result.dump(await f())
        await asyncio.to_thread(self._channel.call, "step", _step_payload(key, text))
        return self._saved(key, text, result)

    def _saved(self, key: str, text: str, result: Any) -> Any:
        self._steps[key] = text
        return result.load(text)


def _step_payload(key: str, text: str) -> str:
    return json.dumps({"key": key, "name": key.split(":", 1)[0], "value": text})


def _digest(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    from pydantic_core import PydanticSerializationError, to_json

    try:
        data = to_json([_canonical(args), _canonical(kwargs)], inf_nan_mode="constants", bytes_mode="base64")
    except (PydanticSerializationError, RecursionError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ArgumentsInvalid(
            f"step {name}: an argument cannot be written as JSON ({reason}), so the step could not be known again; "
            "pass plain data, and make connections, clients and the like inside the step"
        ) from None
    return hashlib.sha256(data).hexdigest()


def _canonical(value: Any) -> Any:
    """Give sets and dicts an order that is the same in every process, and know secrets by their references."""
    if isinstance(value, Secret):
        return {"secret": value.reference}
    if isinstance(value, dict):
        return {key: _canonical(value[key]) for key in sorted(value, key=repr)}
    if isinstance(value, (list, tuple)):
        return [_canonical(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_canonical(each) for each in value), key=repr)
    return value


def _number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:  # NaN is not
        raise ArgumentsInvalid(f"progress: {name} must be a finite number, not {shown(value)}")

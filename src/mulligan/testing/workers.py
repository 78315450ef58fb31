"""`worker`: a real worker with real child processes, beside a notebook or a test."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mulligan.app import Services
from mulligan.client import Client
from mulligan.client.client import client_of
from mulligan.config.settings import SQLITE, Settings, load_settings
from mulligan.core.errors import ConfigError, MulliganError, TaskError
from mulligan.core.shown import shown
from mulligan.sdk.digest import source_file
from mulligan.sdk.ports import AMBIENT
from mulligan.sdk.task import Task
from mulligan.worker.worker import Worker

START_S = 30.0
STOP_S = 60.0


@contextlib.contextmanager
def worker(
    *tasks: Task[..., Any],
    database: str | None = None,
    temporary: bool = False,
    processes: int = 1,
    tell: Any = None,
) -> Iterator[Client]:
    """Run a worker for these tasks while this is open: `with worker(f, g): f.submit(x).result()`; gives a client of the store.

    It works on the configured store, or on `database`, or with `temporary` on a new one that is thrown away; what is submitted
    in this process goes there too. Attempts run in child processes, which import the tasks' files: functions that were typed
    in, or are defined inside others, are refused. At the end it finishes what runs; when the block fails, or is interrupted, it
    hands that back. `tell(event, **facts)` hears what a worker's log would say. Raises TaskError, ConfigError, StoreError.
    """
    if temporary and database is not None:
        raise ConfigError("worker: give either database or temporary=True, not both")
    loaded, sources = _loaded(tasks)
    with contextlib.ExitStack() as around:
        if temporary:
            folder = around.enter_context(tempfile.TemporaryDirectory(prefix="mulligan-", ignore_cleanup_errors=True))
            database = SQLITE + str(Path(folder) / "store.db")
        settings = load_settings(database=database, processes=processes)
        client = client_of(settings)
        around.callback(client.close)
        around.enter_context(_taking(client))
        running = Running(settings, loaded, sources, tell)
        running.start()
        try:
            yield client
        except BaseException:
            running.stop(hand_back=True)
            raise
        running.stop()


class Running:
    """A worker in a thread of its own."""

    def __init__(self, settings: Settings, tasks: dict[str, Task[..., Any]], sources: list[str], tell: Any) -> None:
        self._settings = settings
        self._tasks = tasks
        self._sources = sources
        self._also_tell = tell
        self._begun = threading.Event()
        self._worker: Worker | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="mulligan worker", daemon=True)

    def start(self) -> None:
        """Return when it has enlisted; raises what kept it from doing so."""
        self._thread.start()
        if not self._begun.wait(START_S):
            self.stop(hand_back=True)
            raise MulliganError(f"the worker did not start within {START_S:.0f} s")
        self._raise()

    def stop(self, *, hand_back: bool = False) -> None:
        """End it, after what runs or by handing that back; raises what ended it before."""
        if self._worker is not None:
            self._worker.stop()
            if hand_back:
                self._worker.stop()
        try:
            self._thread.join(STOP_S)
        except KeyboardInterrupt:
            if self._worker is not None:
                self._worker.stop()
            self._thread.join(STOP_S)
            raise
        if not hand_back:
            self._raise()

    def _work(self) -> None:
        try:
            services = Services(self._settings)
            try:
                self._worker = services.make_worker(self._tasks, self._sources, self._tell)
                self._worker.run()
            finally:
                services.close()
        except BaseException as error:  # noqa: BLE001 - it is raised where the worker was asked for
            self._error = error
        finally:
            self._begun.set()

    def _tell(self, event: str, **facts: Any) -> None:
        if event == "worker started":
            self._begun.set()
        if self._also_tell is not None:
            self._also_tell(event, **facts)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


def _loaded(tasks: tuple[Task[..., Any], ...]) -> tuple[dict[str, Task[..., Any]], list[str]]:
    """Return the tasks by name, and what child processes import to have them; refuses what they could not."""
    if not tasks:
        raise TaskError("worker: name the tasks that it shall run")
    found: dict[str, Task[..., Any]] = {}
    sources: dict[str, None] = {}
    for task in tasks:
        if not isinstance(task, Task):
            raise TaskError(f"worker: expected tasks, which are functions declared with @task, not {shown(task)}")
        if task.declared.unloadable:
            raise TaskError(f"{task.declared.owner} {task.declared.unloadable}")
        task.check()
        if found.setdefault(task.name, task) is not task:
            raise TaskError(f"two tasks are named {task.name!r}: give one another name with name=")
        sources[_source(task)] = None
    return found, list(sources)


def _source(task: Task[..., Any]) -> str:
    """Return the dotted module of a task in a package, else the path of its file."""
    module = task.fn.__module__
    return module if "." in module else str(source_file(task.fn))


@contextlib.contextmanager
def _taking(client: Client) -> Iterator[None]:
    before, AMBIENT.factory = AMBIENT.factory, lambda: client
    try:
        yield
    finally:
        AMBIENT.factory = before

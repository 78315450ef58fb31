"""Loading the tasks of files and modules, as workers do; and telling early which functions they could not load."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from mulligan.core.errors import SubmitInImport, TaskError
from mulligan.sdk.paths import put_on_path
from mulligan.sdk.ports import AMBIENT
from mulligan.sdk.task import Task

_TRACEBACK_FRAMES = 3


def load(sources: Sequence[str]) -> dict[str, Task[Any, Any]]:
    """Import files and modules, and return their tasks by name.

    A source is the path of a Python file, which is then known by its stem and whose folder goes on `sys.path` behind the
    standard library, or a dotted module. Tasks that a module only imports are left to the module that defines them.
    Raises TaskError, SubmitInImport.
    """
    found: dict[str, Task[Any, Any]] = {}
    for source in sources:
        for task in _tasks_of(_import(source), source):
            other = found.setdefault(task.name, task)
            if other is not task:
                raise TaskError(
                    f"two tasks are named {task.name!r}: {_place(other)} and {_place(task)}; give one another name with name="
                )
    return found


def _tasks_of(module: ModuleType, source: str) -> Iterator[Task[Any, Any]]:
    tasks = {
        id(value): value
        for value in vars(module).values()
        if isinstance(value, Task) and value.call is None and value.fn.__module__ == module.__name__
    }
    if not tasks:
        raise TaskError(f"{source}: defines no task; put @task above a function at the top of it")
    for task in tasks.values():
        task.check()
        yield task


def _import(source: str) -> ModuleType:
    if source.endswith(".py") or "/" in source:
        path = Path(source).resolve()
        if not path.is_file():
            raise TaskError(f"{source}: there is no such file")
        return _import_file(path, source)
    return _import_module(source)


def _import_file(path: Path, source: str) -> ModuleType:
    if path.stem in sys.stdlib_module_names:
        raise TaskError(f"{source}: the name {path.stem!r} belongs to another module (of the standard library); rename the file")
    loaded = sys.modules.get(path.stem)
    if loaded is not None:
        if _file_of(loaded) == path:
            return loaded
        raise TaskError(f"{source}: the name {path.stem!r} belongs to another module ({_file_of(loaded)}); rename the file")
    put_on_path(str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise TaskError(f"{source}: is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        with _importing(source):
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(path.stem, None)
        raise
    return module


def _import_module(name: str) -> ModuleType:
    put_on_path(str(Path.cwd()))
    with _importing(name):
        return importlib.import_module(name)


@contextmanager
def _importing(source: str) -> Iterator[None]:
    """Refuse submissions meanwhile, and turn whatever the module raises into an error that says where."""
    AMBIENT.importing = source
    try:
        yield
    except SubmitInImport:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (source == error.name or source.startswith(error.name + ".")):
            hint = "give a module's dotted name or the path of a .py file"
            raise TaskError(f"{source}: there is no such module; {hint}") from error
        raise TaskError(_failed(source, error)) from error
    except (Exception, SystemExit) as error:
        raise TaskError(_failed(source, error)) from error
    finally:
        AMBIENT.importing = None


def _failed(source: str, error: BaseException) -> str:
    frames = [each for each in traceback.extract_tb(error.__traceback__) if _is_users(each.filename)]
    lines = traceback.format_list(frames[-_TRACEBACK_FRAMES:]) + traceback.format_exception_only(error)
    return f"{source}: failed to import\n{''.join(lines).rstrip()}"


def _is_users(file: str) -> bool:
    return file != __file__ and not file.startswith("<frozen importlib") and Path(file).parent != Path(importlib.__file__).parent


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).resolve()


def _place(task: Task[Any, Any]) -> str:
    code = getattr(inspect.unwrap(task.fn), "__code__", None)
    return task.fn.__module__ if code is None else f"{code.co_filename}:{code.co_firstlineno}"

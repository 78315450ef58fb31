"""Which code a task runs: where it lives, and digests that change when it does."""

from __future__ import annotations

import ast
import hashlib
import inspect
import linecache
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from mulligan.sdk.paths import is_installed, is_library

_Defined = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def source_file(fn: Callable[..., Any]) -> Path | None:
    """Return the file of a function's module, or None for what was typed in: at a prompt, in a notebook, after `-c`."""
    module = sys.modules.get(fn.__module__)
    file = getattr(module, "__file__", None)
    if file is None:
        return None
    path = Path(file).resolve()
    return path if path.is_file() else None


def code_digest(fn: Callable[..., Any]) -> str:
    """Return a digest of the function and of all functions and classes of its module that it refers to.

    Comments, layout and the decorators of functions do not count. Empty where the source cannot be read.
    """
    module = sys.modules.get(fn.__module__)
    defined = _definitions(module) if module is not None else {}
    own = inspect.unwrap(fn).__name__
    if own not in defined:
        return ""
    names = _reached(own, defined)
    texts = (ast.unparse(defined[name]) for name in [own, *sorted(names - {own})])
    return hashlib.sha256("\n\n".join(texts).encode(errors="surrogatepass")).hexdigest()


def source_digests(functions: Iterable[Callable[..., Any]]) -> dict[str, str]:
    """Return a digest of each source file that these functions' packages and the users' other modules were loaded from.

    Of what is installed only the functions' own packages count, and nothing of the standard library or of Mulligan.
    """
    own = {fn.__module__.partition(".")[0] for fn in functions}
    files = {file for name, module in list(sys.modules.items()) if (file := _users_file(name, module, own))}
    return {file: _file_digest(file) for file in sorted(files)}


def changed_sources(digests: Mapping[str, str]) -> list[str]:
    """Return the files that are not what they were."""
    return [file for file, digest in digests.items() if _file_digest(file) != digest]


def _users_file(name: str, module: object, own: set[str]) -> str | None:
    file = getattr(module, "__dict__", {}).get("__file__")
    package = name.partition(".")[0]
    if not isinstance(file, str) or not file.endswith(".py") or package in ("mulligan", "__main__"):
        return None
    path = str(Path(file).absolute())
    return path if package in own or not (is_library(path) or is_installed(path)) else None


def _file_digest(file: str) -> str:
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return ""


def _definitions(module: ModuleType) -> dict[str, _Defined]:
    file = getattr(module, "__file__", None)
    if file is None:
        return {}
    linecache.checkcache(file)
    try:
        tree = ast.parse("".join(linecache.getlines(file, vars(module))))
    except (SyntaxError, ValueError):
        return {}
    return {node.name: _bare(node) for node in _top_level(tree)}


def _top_level(tree: ast.AST) -> Iterator[_Defined]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, _Defined):
            yield node
        elif isinstance(node, ast.stmt | ast.ExceptHandler):
            yield from _top_level(node)


def _reached(own: str, defined: dict[str, _Defined]) -> set[str]:
    seen = {own}
    pending = [own]
    while pending:
        for node in ast.walk(defined[pending.pop()]):
            name = node.id if isinstance(node, ast.Name) else None
            if name in defined and name not in seen:
                seen.add(name)
                pending.append(name)
    return seen


def _bare(node: _Defined) -> _Defined:
    if not isinstance(node, ast.ClassDef):
        node.decorator_list = []
    return node

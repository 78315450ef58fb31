"""What a function takes and returns, read from its type hints: which parameters are injected, which travel as values."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, get_args, get_origin

from mulligan.core.errors import ArgumentsInvalid, TaskError
from mulligan.sdk.context import Context
from mulligan.sdk.values import Arguments, Result
from mulligan.sdk.window import Window

_REFUSED_KINDS: dict[Any, str] = {
    inspect.Parameter.VAR_POSITIONAL: "takes any number of arguments: give it one parameter that is a list",
    inspect.Parameter.VAR_KEYWORD: "takes arguments of any name: give it one parameter that is a dict",
    inspect.Parameter.POSITIONAL_ONLY: "is positional only: arguments travel by their names, so remove the '/'",
}


class Signature:
    """The parameters of a task's function: the injected ones by name, and the values with their check."""

    def __init__(self, fn: Callable[..., Any], owner: str) -> None:
        parameters = inspect.signature(fn).parameters
        hints = resolve(fn, owner)
        for parameter in parameters.values():
            _refuse_unsupported(parameter, hints, owner)
        self.owner = owner
        self.context = _only(Context, hints, parameters, owner)
        self.window = _only(Window, hints, parameters, owner)
        self.positional = [
            name for name, each in parameters.items() if each.kind is not inspect.Parameter.KEYWORD_ONLY and name != self.context
        ]
        values = {name: hints.get(name, Any) for name in parameters if name not in (self.context, self.window)}
        optional = frozenset(name for name in values if parameters[name].default is not inspect.Parameter.empty)
        self.arguments = Arguments(owner, values, optional)
        self.secret = self.arguments.secret
        """Whether secrets may be among the arguments."""
        self.result = Result(owner, hints.get("return", Any))

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments by name, the window among them; raises ArgumentsInvalid for too many or doubled ones."""
        if len(args) > len(self.positional):
            raise ArgumentsInvalid(
                f"{self.owner}: takes {len(self.positional)} arguments by position "
                f"({', '.join(self.positional) or 'none'}), not {len(args)}"
            )
        if self.context in kwargs:
            raise ArgumentsInvalid(f"{self.owner}: {self.context!r} is the Context, which is injected; leave it out")
        values = dict(zip(self.positional, args, strict=False))
        for name, value in kwargs.items():
            if name in values:
                raise ArgumentsInvalid(f"{self.owner}: the argument {name!r} is given twice")
            values[name] = value
        return values


def resolve(fn: Callable[..., Any], owner: str) -> dict[str, Any]:
    """Return the type hints of a function; raises TaskError naming the one that cannot be resolved."""
    try:
        return typing.get_type_hints(fn, include_extras=True)
    except Exception as error:  # evaluating a hint runs users' code, which may raise anything
        raise TaskError(_unresolved(fn, owner, error)) from error


@lru_cache(maxsize=1024)
def result_of(fn: Callable[..., Any]) -> Result:
    """Return how the result of a step's function travels."""
    name = qualified_name(fn)
    plain = inspect.unwrap(fn)
    hints = resolve(plain, f"step {name}") if inspect.isfunction(plain) or inspect.ismethod(plain) else {}
    return Result(f"step {name}", hints.get("return", Any))


def qualified_name(thing: Any) -> str:
    """Return the module and qualified name of a function or class, the same in a script and in its workers."""
    inner = getattr(thing, "func", thing)
    name = getattr(inner, "__qualname__", None) or type(inner).__qualname__
    return f"{public_module(getattr(inner, '__module__', None) or 'builtins')}.{name}"


def public_module(name: str) -> str:
    """Return the name that workers know a module by: a script's is its file's stem, not `__main__`."""
    if name != "__main__":
        return name
    import sys
    from pathlib import Path

    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else name


def _unresolved(fn: Callable[..., Any], owner: str, error: Exception) -> str:
    space = getattr(inspect.unwrap(fn), "__globals__", {})
    for name, hint in getattr(fn, "__annotations__", {}).items():
        if isinstance(hint, str) and not _evaluates(hint, space):
            where = "the result" if name == "return" else f"parameter {name!r}"
            return (
                f"{owner}: the type hint {hint!r} of {where} cannot be resolved ({error}); "
                "import what it names at the top of the module, not under `if TYPE_CHECKING:`"
            )
    return f"{owner}: its type hints cannot be resolved ({error})"


def _evaluates(hint: str, space: dict[str, Any]) -> bool:
    try:
        eval(hint, space)  # noqa: S307 - the text is the user's own annotation
    except Exception:  # noqa: BLE001 - see resolve
        return False
    return True


def _refuse_unsupported(parameter: inspect.Parameter, hints: Mapping[str, Any], owner: str) -> None:
    reason = _REFUSED_KINDS.get(parameter.kind)
    if reason:
        raise TaskError(f"{owner}: the parameter {parameter.name!r} {reason}")
    if parameter.name == "ctx" and "ctx" not in hints:
        raise TaskError(f"{owner}: annotate the parameter 'ctx' so that it is injected: `ctx: Context`")
    hint = hints.get(parameter.name)
    if get_origin(hint) is not Annotated and any(each in (Context, Window) for each in get_args(hint)):
        raise TaskError(f"{owner}: annotate {parameter.name!r} with Context or Window itself, not with {hint!r}")


def _only(kind: type, hints: Mapping[str, Any], parameters: Mapping[str, Any], owner: str) -> str | None:
    names = [name for name in parameters if _plain(hints.get(name)) is kind]
    if len(names) > 1:
        raise TaskError(f"{owner}: {' and '.join(names)} are both annotated {kind.__name__}; a task takes at most one")
    return names[0] if names else None


def _plain(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint

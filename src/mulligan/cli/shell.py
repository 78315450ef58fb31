"""What every command shares: its options, its client, and how it speaks to people and to programs."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer
from rich.console import Console
from rich.text import Text

from mulligan.cli.table import Cell, Column, lines
from mulligan.client.client import Client, client_of
from mulligan.config.settings import Settings, check_store, load_settings
from mulligan.core.errors import StoreError
from mulligan.core.plain import plain

T = TypeVar("T")
Command = Callable[..., int | None]

Database = Annotated[
    str | None, typer.Option("--database", metavar="URL", help="Store: sqlite:///path.db or postgresql://…", show_default=False)
]
Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="Server: https://… (its key: MULLIGAN_API_KEY).", show_default=False),
]
NoServer = Annotated[str | None, typer.Option("--server", metavar="URL", hidden=True, show_default=False)]
Namespace = Annotated[
    str | None, typer.Option("--namespace", metavar="NAME", help="Namespace of the tasks' names.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text for people.")]


class Shell:
    """One run of one command."""

    def __init__(self, database: str | None, server: str | None, namespace: str | None, *, as_json: bool) -> None:
        if server is not None and (database is not None or namespace is not None):
            other = "--database names a store" if database is not None else "--namespace is of a store"
            raise typer.BadParameter(f"--server names a server, and {other}: use one of them")
        self.as_json = as_json
        self._given: dict[str, Any] = {"database": database, "server": server, "namespace": namespace}

    @cached_property
    def settings(self) -> Settings:
        """The settings that hold here."""
        return load_settings(**self._given)

    @property
    def store(self) -> str:
        """The URL of the store; raises ConfigError where only a server is named."""
        check_store(self.settings)
        return self.settings.database

    @property
    def named(self) -> str | None:
        """The store that the command line names."""
        named: str | None = self._given["database"]
        return named

    @cached_property
    def client(self) -> Client:
        """A client of the store or server; raises StoreError when there is no store yet, since looking must not make one."""
        if self.settings.server:
            return client_of(self.settings)
        path = self.settings.sqlite_path
        if path is not None and _is_nothing(Path(path)):
            raise StoreError(
                f"there is no store at {path} yet: start with `mulligan dev FILE` in your project's folder, "
                "or name a store with --database sqlite:///path.db"
            )
        return client_of(self.settings, "cli", make=False)

    def make_store(self) -> None:
        """Make the store where there is none yet, for a command that may be the first; a server has its own."""
        if not self.settings.server:
            self.__dict__["client"] = client_of(self.settings, "cli")

    @cached_property
    def console(self) -> Console:
        """Standard output."""
        return _console(sys.stdout)

    @cached_property
    def errors(self) -> Console:
        """Standard error: what is neither data nor the answer."""
        return _console(sys.stderr)

    @cached_property
    def fancy(self) -> bool:
        """Whether the terminal can show more than ASCII."""
        return "utf" in (getattr(sys.stdout, "encoding", None) or "").lower()

    def say(self, text: str | Text = "") -> None:
        """Print a line for people; a text is taken literally and made harmless."""
        self._print(self.console, text)

    def hint(self, text: str) -> None:
        """Print a line on standard error, whether or not the answer is JSON."""
        self._print(self.errors, text)

    def next(self, *commands: str) -> None:
        """Name the next useful commands."""
        if commands and not self.as_json:
            self.say(Text("\n".join(f"{'Next:' if not place else '     '} {each}" for place, each in enumerate(commands)), "dim"))

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
        """Print a table."""
        for line in lines(columns, rows, self.console.width):
            self.say(line)

    def document(self, value: Any) -> None:
        """Print the one JSON document of this run."""
        json.dump(value, sys.stdout, indent=2, ensure_ascii=True, default=str)
        sys.stdout.write("\n")

    def each(self, things: Sequence[T], title: str) -> Iterator[T]:
        """Yield things one by one; on a terminal with a bar where there are many, else with a sign that something goes on."""
        if len(things) < 2 or not self.errors.is_terminal:
            with self.busy(title):
                yield from things
            return
        from rich.progress import track

        yield from track(things, description=title, console=self.errors, transient=True)

    @contextmanager
    def busy(self, title: str) -> Iterator[None]:
        """Show on a terminal that something is going on."""
        if not self.errors.is_terminal:
            yield
            return
        with self.errors.status(title):
            yield

    def close(self) -> None:
        """Close the client, if there is one."""
        if "client" in self.__dict__:
            self.client.close()

    def _print(self, console: Console, text: str | Text) -> None:
        shown = Text(plain(text)) if isinstance(text, str) else text
        console.print(shown, no_wrap=True, overflow="ignore", crop=False, soft_wrap=True)


def command(app: typer.Typer, example: str, *, prints: bool = True, stored: bool = False) -> Callable[[Command], Command]:
    """Register a function that takes a Shell first; `prints` gives it `--json`. What it returns is the exit code.

    One that is `stored` works on the store itself, and refuses a server.
    A parameter that is a dataclass stands for an option for each of its fields, so that commands can share options.
    """

    def register(function: Command) -> Command:
        written = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        groups: dict[str, Any] = {each.name: each.annotation for each in written if is_dataclass(each.annotation)}
        own = [each for one in written for each in (_members(one.annotation) if one.name in groups else [one])]
        extra = [_option("database", Database, None), _option("server", NoServer if stored else Server, None)]
        extra += [_option("namespace", Namespace, None)]
        extra += [_option("as_json", AsJson, False)] if prints else []

        def run(ctx: typer.Context, **values: Any) -> None:
            above: dict[str, Any] = ctx.obj or {}
            named = {each: values.pop(each) or above.get(each) for each in ("database", "server", "namespace")}
            if stored and named["server"] is not None:
                raise typer.BadParameter("this works on the store itself, not on a server: name the store with --database")
            shell = Shell(**named, as_json=values.pop("as_json", False))
            grouped = {name: kind(**{each.name: values.pop(each.name) for each in fields(kind)}) for name, kind in groups.items()}
            try:
                code = function(shell, **values, **grouped)
            finally:
                shell.close()
            raise typer.Exit(code or 0)

        context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        parameters = [context, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own), *extra]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        run.__doc__ = function.__doc__
        name = function.__name__.rstrip("_").replace("_", "-")
        app.command(name, epilog=f"\b\nExample:\n  mulligan {example}")(run)
        return function

    return register


def write_pieces(pieces: Iterable[str]) -> None:
    """Write text as it is, at once."""
    for each in pieces:
        sys.stdout.write(each)
    sys.stdout.flush()


def _is_nothing(path: Path) -> bool:
    """Return whether there is no file, or one that nobody has written to: SQLite takes that for a database to be made."""
    return not path.exists() or (path.is_file() and not path.stat().st_size)


def _console(stream: Any) -> Console:
    return _LoudConsole(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)


class _LoudConsole(Console):
    def on_broken_pipe(self) -> None:
        """Leave the handling of a reader that has gone to `main`."""
        raise BrokenPipeError


def _members(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    defaults = {each.name: each.default if each.default_factory is MISSING else each.default_factory() for each in fields(group)}
    return [_option(name, hints[name], default) for name, default in defaults.items()]


def _option(name: str, annotation: Any, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

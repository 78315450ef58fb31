"""The command line put together: one typer app of all commands."""

from __future__ import annotations

from typing import Annotated

import typer

from mulligan.cli import acting, bulk, causes, keys, looking, reading, rehearsing, running, submitting, trending
from mulligan.cli.shell import Database, Namespace, Server


def build() -> typer.Typer:
    """Return the app with every command."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(epilog="\b\nExample:\n  mulligan dev pipeline.py")(_everywhere)
    for module in (running, submitting, looking, trending, causes, reading, acting, bulk, rehearsing, keys):
        module.add_to(app)
    return app


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"mulligan {version('mulligan')}")
        raise typer.Exit


def _everywhere(
    ctx: typer.Context,
    database: Database = None,
    server: Server = None,
    namespace: Namespace = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Mulligan runs the jobs of data and ML pipelines and takes care of what goes wrong."""
    ctx.obj = {"database": database, "server": server, "namespace": namespace}

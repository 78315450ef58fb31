"""The commands that run work: dev, server, worker and demo."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer

from mulligan.cli import worker as quick_worker
from mulligan.cli.shell import Shell, command
from mulligan.config.settings import SQLITE
from mulligan.core.definition import Definition
from mulligan.core.errors import ConfigError

FILES = 65_536
Sources = Annotated[list[str], typer.Argument(metavar="FILE", help="Python files, or dotted modules, that define tasks.")]
Processes = Annotated[
    int | None,
    typer.Option("--processes", min=1, help="Processes that run tasks; one for each processor if not given.", show_default=False),
]
Host = Annotated[str | None, typer.Option("--host", metavar="ADDRESS", help="Address of the API.", show_default=False)]
Port = Annotated[
    int | None, typer.Option("--port", min=0, max=65_535, help="Port of the API; 0: any that is free.", show_default=False)
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "dev pipeline.py", prints=False, stored=True)(dev)
    command(app, "server --database postgresql://user@host/name", prints=False, stored=True)(server)
    command(app, "worker pipeline.py --database sqlite:///runs.db --processes 4", prints=False, stored=True)(worker)
    command(app, "demo --workers 4 --kill-every 5", prints=False, stored=True)(demo)


def dev(
    shell: Shell,
    sources: Sources,
    processes: Processes = None,
    host: Host = None,
    port: Port = None,
    browser: Annotated[
        bool | None,
        typer.Option(
            "--browser/--no-browser",
            help="Open the page in a browser; if not given, from a terminal with a screen.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Run a worker here and serve the API, and say how to submit work.

    The page that it opens, or prints the address of, is logged in: once, within a minute; later log in with the key.

    It works on this folder's store unless another is named, and removes finished jobs when they are old. Ctrl-C ends it: once to
    finish what runs, twice to hand it back.
    """
    from mulligan.app import Services
    from mulligan.config.settings import load_settings
    from mulligan.core.access import Role
    from mulligan.engine.keys import random_key
    from mulligan.engine.logins import LoginOnce
    from mulligan.sdk.loading import load
    from mulligan.telemetry import line_teller

    tasks, tell = load(sources), line_teller()
    named = {"database": shell.store, "namespace": shell.settings.namespace}
    settings = load_settings(**named, processes=processes, host=host, port=port)
    services = Services(settings)
    with contextlib.ExitStack() as stack:
        stack.callback(services.close)
        made = services.make_worker(tasks, sources, tell)
        supervisor = services.make_supervisor(tell, beside_worker=True)
        own = random_key("dev", Role.ADMIN)
        once = LoginOnce(own.principal)
        api = services.make_api(tell, supervisor, own, once)
        stack.callback(api.stop)
        api.bind(or_any_port=port is None)
        page = f"{api.url}{settings.root_path}/login?once={once.text}"
        _introduce(shell, services.shown, [each.definition() for each in tasks.values()], api.url, own.text, page)
        supervisor.start()
        stack.callback(supervisor.stop)
        api.start()
        if _has_screen(shell) if browser is None else browser:
            webbrowser.open(page)
        made.run(signals=True)
    return 0


def server(
    shell: Shell,
    host: Host = None,
    port: Port = None,
    behind_proxy: Annotated[
        bool | None,
        typer.Option("--behind-proxy", help="A proxy that does TLS stands before it.", show_default=False),
    ] = None,
) -> int:
    """Serve the API, and look after a store: take back what lost workers held, keep deadlines, remove what is old.

    It runs no tasks. SIGTERM or Ctrl-C ends it, with exit code 0. Several may run on one store.
    """
    from mulligan.app import Services
    from mulligan.config.settings import load_settings
    from mulligan.telemetry import line_teller

    tell = line_teller()
    named = {"database": shell.store, "namespace": shell.settings.namespace}
    services = Services(load_settings(**named, host=host, port=port, behind_proxy=behind_proxy))
    with contextlib.ExitStack() as stack:
        stack.callback(services.close)
        supervisor = services.make_supervisor(tell)
        _allow_connections()
        api = services.make_api(tell, supervisor)
        stack.callback(api.stop)
        with supervisor.stopped_by_signals():
            api.start()
            tell("server started", store=services.shown, url=api.url)
            if not services.keys.any():
                tell("there are no keys yet", make_one="mulligan keys create --role admin --name NAME")
            supervisor.run()
        api.stop()
        tell("server ended")
    return 0


def worker(shell: Shell, sources: Sources, processes: Processes = None) -> int:
    """Run a worker: claim work items and run them.

    SIGTERM or Ctrl-C ends it: the first finishes what runs, the second hands it back. The exit code is 0 after that.
    """
    return quick_worker.run(sources, shell.store, shell.settings.namespace, processes)


def demo(
    shell: Shell,
    folder: Annotated[Path, typer.Option("--folder", help="Where the demo keeps everything.")] = Path("mulligan-demo"),
    stay: Annotated[bool, typer.Option("--stay", help="Keep it up with a server, and leave what failed to you.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over instead of going on.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Chooses what fails and what is killed.")] = 2013,
    days: Annotated[int, typer.Option("--days", min=1, max=365, help="How many days of the year.")] = 365,
    workers: Annotated[int, typer.Option("--workers", min=1, help="How many workers.")] = 2,
    processes: Annotated[int, typer.Option("--processes", min=1, help="Processes of each worker.")] = 2,
    kill_every: Annotated[
        float | None,
        typer.Option("--kill-every", metavar="SECONDS", min=1, help="Kill a whole worker this often.", show_default=False),
    ] = None,
    retraining: Annotated[
        bool,
        typer.Option("--retraining/--no-retraining", help="Retrain a model at the end, which takes longest where days are few."),
    ] = True,
) -> int:
    """Run the demo: a year of flights through failures.

    An object store fails, processes are killed, a bad release is fixed and recovered from; in the end the result is checked.
    Its store is a SQLite file in its folder, or the PostgreSQL database that is set, in the schema mulligan_demo.
    """
    from mulligan.demo.story import Plan, run

    if (shell.named or "").startswith(SQLITE):
        raise ConfigError("on SQLite the demo keeps its store in its folder: give --folder, or a postgresql:// URL")
    settings = shell.settings
    database = settings.database if settings.sqlite_path is None else ""
    plan = Plan(database, days, workers, processes, kill_every, seed, retraining)
    return run(folder, plan, stay=stay, fresh=fresh, console=shell.console)


def _allow_connections() -> None:
    """Take as many open files as there may be: each who listens is one, and 1,024 is what many systems begin with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _has_screen(shell: Shell) -> bool:
    """Return whether a person would see a browser: without a screen one that runs in the terminal would be started."""
    screen = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return shell.console.is_terminal and bool(screen)


def _introduce(shell: Shell, path: str, tasks: list[Definition], url: str, key: str, page: str) -> None:
    shell.say(f"Store: {path}")
    shell.say(f"API:   {url}")
    shell.say(f"Key:   {key} (for as long as this runs)")
    shell.say(f"Page:  {page} (logs in once, within a minute; later with the key)")
    shell.say(f"Loaded {len(tasks)} task{'' if len(tasks) == 1 else 's'}. In another terminal, in this folder:")
    for each in tasks:
        shell.say(f"  mulligan {_how_to(each)}")
    shell.say("Then: mulligan jobs. Ctrl-C ends this: once to finish what runs, twice to hand it back.")


def _how_to(task: Definition) -> str:
    """Say how a task is submitted, with an example for each parameter that must be given."""
    schema = json.loads(task.parameters)
    known: dict[str, Any] = schema.get("properties", {})
    pairs = [f"{name}={_example(known.get(name, {}))}" for name in schema.get("required", [])]
    if task.window is None:
        return " ".join(["submit", task.name, *pairs])
    return " ".join(["backfill", task.name, "2024-01-01", "2024-02-01", *(f"--arg {pair}" for pair in pairs)])


def _example(schema: dict[str, Any]) -> str:
    examples = {"integer": "1", "number": "1.5", "boolean": "true", "array": "'[]'", "object": "'{}'"}
    return examples.get(str(schema.get("type")), "…")

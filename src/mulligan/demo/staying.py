"""What `--stay` adds to the demo: a server, a run that can be cancelled, and words on what there is to do."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from typing import Any

from mulligan.app import Services
from mulligan.config.settings import load_settings
from mulligan.core.access import Role
from mulligan.core.job import TERMINAL
from mulligan.core.submission import Options
from mulligan.demo.processes import Paths, Place, Processes
from mulligan.engine.keys import random_key
from mulligan.engine.logins import LoginOnce
from mulligan.telemetry import line_teller

LOOK_S = 0.5
"""So often is it looked whether somebody has killed a worker."""

Say = Callable[[str], None]


def stay_up(client: Any, processes: Processes, workers: int, failed: Sequence[str], say: Say) -> None:
    """Keep workers, object store and a server up until Ctrl-C, and tell what a person can do; raises DemoFailed, ConfigError."""
    try:
        _start(processes, workers)
        scrub = _scrub(client, processes)
        with _served(processes.place, processes.paths) as way_in:
            for line in (
                "",
                *way_in,
                *_to_do(failed, scrub.id),
                "Ctrl-C ends everything. The same command brings it back as it was.",
            ):
                say(line)
            while True:
                for gone in processes.replace_killed():
                    say(f"Worker {gone.number} (process {gone.process.pid}) is gone; another one starts in its place.")
                time.sleep(LOOK_S)
    finally:
        processes.stop_workers(first_s=0.5)  # nobody waits an hour for what scrubs: it is handed back, and goes on the next time


def _start(processes: Processes, workers: int) -> None:
    """Have the right workers: so many on the flow, and one on all else."""
    paths = processes.paths
    for source in (paths.retraining, paths.scrubbing):
        source.write_text(files("mulligan.demo").joinpath(source.name).read_text("utf-8"), encoding="utf-8")
    processes.stop_workers()
    for _ in range(workers):
        processes.start_worker()
    processes.start_worker(paths.retraining, paths.scrubbing)


def _scrub(client: Any, processes: Processes) -> Any:
    """Return a scrubbing that has not ended: the one that is there, or another one."""
    known = {job.run_id: job for job in client.jobs(task="scrub")}
    under_way = next((job for job in known.values() if job.status not in TERMINAL), None)
    if under_way is not None:
        return under_way
    run_id = next(name for name in (f"scrub-{number}" for number in itertools.count(1)) if name not in known)
    return processes.submitted(lambda: client.submit("scrub", options=Options(run_id=run_id)))


@contextmanager
def _served(place: Place, paths: Paths) -> Iterator[list[str]]:
    """Serve a store on 127.0.0.1, at the usual port if it is free, and give the way in, in words."""
    settings = load_settings(database=place.database, **place.settings(), artifacts=str(paths.artifacts), host="127.0.0.1")
    with ExitStack() as stack:
        tell = line_teller(stack.enter_context((paths.logs / "server.log").open("a", encoding="utf-8")))
        services = Services(settings)
        stack.callback(services.close)
        supervisor = services.make_supervisor(tell, beside_worker=True)
        own = random_key("demo", Role.ADMIN)
        once = LoginOnce(own.principal)
        api = services.make_api(tell, supervisor, own, once)
        stack.callback(api.stop)
        api.bind(or_any_port=True)
        supervisor.start()
        stack.callback(supervisor.stop)
        api.start()
        yield _way_in(f"{api.url}{settings.root_path}", own.text, once.text)


def _way_in(url: str, key: str, once: str) -> list[str]:
    return [
        f"Page: {url}/login?once={once} (logs in once, within a minute; later with the key)",
        f"API:  {url}",
        f"Key:  {key} (for as long as this runs)",
    ]


def _to_do(failed: Sequence[str], scrub: str) -> list[str]:
    if failed:
        days = f"{' and '.join(failed)} {'is' if len(failed) == 1 else 'are'} left failed for you. The fix is deployed:"
        first = [f"- {days}", "  find out why it happened, and recover what failed: what was downloaded is not downloaded again."]
    else:
        first = ["- No day is failed (any more): --fresh --stay starts over and leaves those that failed to you."]
    return [
        "There is something to do:",
        *first,
        "- Run any other day once more: you are told first whether that is safe.",
        f"- Cancel job {scrub}: it reads files for an hour. Retry it afterwards: it goes on where it was.",
        "- kill -9 a worker, or what it has started: another one goes on with what ran.",
    ]

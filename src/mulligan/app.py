"""The composition root: settings in, wired services out. The only place that names concrete classes."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mulligan.config.rules import rules_of
from mulligan.config.settings import FOLDER, Settings, check_store
from mulligan.core.failure import RuleSet
from mulligan.core.job import job_status
from mulligan.engine.asking import Asker
from mulligan.engine.bulk import Bulk
from mulligan.engine.bulk_pages import BulkPages
from mulligan.engine.clock import Chance, Clock, ServerClock, SystemClock, system_chance
from mulligan.engine.commands import Commands
from mulligan.engine.definitions import Definitions
from mulligan.engine.engine import Engine
from mulligan.engine.filters import text
from mulligan.engine.keys import Keys, NewKey
from mulligan.engine.logins import LoginOnce
from mulligan.engine.reading import Reading
from mulligan.engine.submitting import Submitting
from mulligan.engine.trending import Trending
from mulligan.engine.uploading import Uploading
from mulligan.gateway.interface import Gateway
from mulligan.gateway.stored import StoreGateway
from mulligan.gateway.stored_keys import StoredKeys
from mulligan.gateway.stored_operations import StoredOperations
from mulligan.sdk.digest import source_digests
from mulligan.sdk.ports import AMBIENT
from mulligan.sdk.secret import hide_all
from mulligan.sdk.submitting import submission_from_json
from mulligan.sdk.task import Task
from mulligan.store.interface import Database, Hints, Presence
from mulligan.store.migrating import Migrated
from mulligan.store.store import Store
from mulligan.supervisor.chore import Chore
from mulligan.supervisor.retention import retention_chore
from mulligan.supervisor.safety import safety_chores
from mulligan.supervisor.supervisor import Supervisor
from mulligan.telemetry import Tell, hiding, server_teller, silent
from mulligan.tracing.wanted import unfit, wanted
from mulligan.tracing.witness import Exporting, SpanWitness
from mulligan.worker.executors.bodies.executor import BodyExecutor
from mulligan.worker.executors.interface import Executor
from mulligan.worker.executors.process.executor import ProcessExecutor
from mulligan.worker.executors.process.nursery import Nursery
from mulligan.worker.executors.routing import RoutingExecutor
from mulligan.worker.parts import Parts
from mulligan.worker.reporting import Outcomes
from mulligan.worker.submissions import Submissions
from mulligan.worker.waiting import FileWaiting
from mulligan.worker.worker import Worker

if TYPE_CHECKING:
    from mulligan.api.served import Served
    from mulligan.api.serving import ApiServer

READS_S = 5.0
"""What reads for the API ends after so long."""


class Services:
    """Everything that works on one store, wired together."""

    def __init__(
        self, settings: Settings, clock: Clock | None = None, chance: Chance = system_chance, *, make: bool = True
    ) -> None:
        """Open the store; without `make`, one that is not there yet is an error (StoreError) where it is on a server."""
        check_store(settings)
        self.settings = settings
        self._database, self.presence, its_clock = _open(settings, make=make)
        self.store = Store(self._database)
        self.clock = clock or its_clock
        self.definitions = Definitions(settings.namespace)
        self.engine = Engine(self.store, self.definitions, self.clock, chance, self.presence)
        self.commands = Commands(self.engine)
        self.submitting = Submitting(self.engine)
        self.reading = Reading(self.engine, self.rules)
        self.keys = Keys(self.engine)
        self.trending = Trending(self.engine)
        self._missing: dict[str, str] = {}
        hide_all(settings.secrets, self._missing.__setitem__)
        self.bulk = Bulk(self.engine, self.reading)
        self.bulk_pages = BulkPages(self.engine, self.bulk, settings.bulk_rate)
        self._traces, self._untraced = self._tracing()
        self.engine.witness = self._traces

    @property
    def shown(self) -> str:
        """Where the store is, for people, without a password."""
        return self._database.shown

    def close(self) -> None:
        """Close the store; safe to call twice."""
        if self._traces is not None:
            self._traces.close()
        self.presence.close()
        self.store.close()

    def rules(self) -> tuple[RuleSet, RuleSet]:
        """Return the project's failure rules and the built-in ones."""
        return rules_of(self.settings.rules)

    def listen(self) -> Hints | None:
        """Listen for hints that a job has ended; None where there are none."""
        return self.presence.listen("waiter")

    def asker(self, source: str, reason: str) -> Asker:
        """Return who asks the store from this process, for its audit; raises ArgumentsInvalid for what is no reason."""
        return Asker(whoami(), source, text(reason, "reason"))

    def gateway(self, source: str = "python") -> Gateway:
        """Return a client's gateway to the store; `source` is kept in the audit."""
        asker = partial(self.asker, source)
        reading, trending = self.reading, self.trending
        operations = StoredOperations(self.bulk, self.bulk_pages, asker, self.clock)
        keys, presence = StoredKeys(self.keys, asker), self.presence
        return StoreGateway(
            self.engine, self.commands, self.submitting, reading, trending, operations, keys, presence, asker, self.close
        )

    def make_worker(
        self,
        tasks: dict[str, Task[..., object]],
        sources: Sequence[str],
        tell: Tell = silent,
        nursery: Nursery | None = None,
    ) -> Worker:
        """Make a worker for tasks that were loaded from these sources; `nursery` is a forkserver that is there already."""
        code = source_digests(each.fn for each in tasks.values())  # at once: they may be edited at any time
        tell = self._hiding(tell)
        settings, presence = self.settings, self.presence
        # Its loop enforces time limits too, so it must not stand before a locked store for long: it comes back instead.
        self._database.wait_at_most(round(min(2.0, settings.lease / 6) * 1000))
        project, default = self.rules()
        definitions = [task.definition() for task in tasks.values()]
        asynchronous = {each.name for each in definitions if each.executor == "async"}

        ready = [nursery] if nursery else []

        workflows = {each.name: tasks[each.name] for each in definitions if each.workflow}

        def make_executor() -> Executor:
            processes = ProcessExecutor(
                sources,
                processes=settings.processes or os.cpu_count() or 1,
                async_slots=settings.async_slots,
                grace_s=settings.grace,
                kill_s=settings.kill,
                log_limit=settings.log_limit,
                asynchronous=asynchronous.__contains__,
                nursery=ready.pop() if ready else None,
                code=code,
                artifacts=settings.artifacts,
                tell=tell,
            )
            if not workflows:
                return processes
            bodies = BodyExecutor(workflows, settings.grace, settings.kill, artifacts=settings.artifacts, tell=tell)
            return RoutingExecutor(processes, bodies, workflows.__contains__)

        waiting = FileWaiting()
        return Worker(
            Parts(
                engine=self.engine,
                definitions=definitions,
                make_executor=make_executor,
                lock=presence.lock,
                hints=presence.listen("worker"),
                waiting=waiting,
                submissions=Submissions(self.submit_inside, waiting.wake),
                outcomes=Outcomes(project, default),
                chores=self.chores,
                tell=tell,
                name=f"{socket.gethostname()}:{os.getpid()}",
                lease_s=settings.lease,
                traceparents=self._traces.traceparents if self._traces is not None else None,
            )
        )

    def make_supervisor(self, tell: Tell = silent, *, beside_worker: bool = False) -> Supervisor:
        """Make what does the chores of a store; beside a worker of this process, those that the worker does not do."""
        safety = [] if beside_worker else self.chores(lambda: None)
        return Supervisor([*safety, retention_chore(self.engine, self.settings.retention)], self._hiding(tell))

    def make_api(
        self, tell: Tell, supervisor: Supervisor, own_key: NewKey | None = None, once: LoginOnce | None = None
    ) -> ApiServer:
        """Make what serves the API at the settings' host and port; raises ConfigError where that would be open to others."""
        from mulligan.api.application import guarded
        from mulligan.api.serving import ApiServer, Place
        from mulligan.console.application import Console

        settings, tell = self.settings, self._hiding(tell)
        certificate, key = settings.tls_certificate, settings.tls_key
        place = Place(settings.host, settings.port, certificate, key, settings.behind_proxy, settings.metrics_open)
        place.check(any_key=self.keys.any)
        self._database.read_at_most(READS_S)
        served = self.served(
            supervisor_is_well=lambda: supervisor.is_well,
            supervisor_ticked_s=lambda: supervisor.ticked_s,
            metrics_open=settings.metrics_open,
            tell=tell,
            hosts=[*place.names, *filter(None, (each.strip() for each in settings.hosts.split(",")))],
            own_key=own_key,
            tls=bool(settings.tls_certificate),
            behind_proxy=settings.behind_proxy,
            root_path=settings.root_path,
            login_idle_s=settings.login_idle,
            requests_per_second=settings.requests_per_second,
            once=once,
            listen=self.listen,
            keep_s=settings.retention,
        )
        app = guarded(served, Console(served))
        return ApiServer(app, place, app.stop)

    def served(self, supervisor_is_well: Callable[[], bool], tell: Tell = silent, **more: Any) -> Served:
        """Return what the API serves; further keywords are those of `Served`."""
        from mulligan.api.served import Served

        return Served(
            engine=self.engine,
            commands=self.commands,
            submitting=self.submitting,
            uploading=Uploading(self.engine, self.submitting),
            reading=self.reading,
            bulk=self.bulk,
            bulk_pages=self.bulk_pages,
            keys=self.keys,
            is_free=self.presence.is_free,
            supervisor_is_well=supervisor_is_well,
            tell=tell,
            **more,
        )

    def _hiding(self, tell: Tell) -> Tell:
        """Return a teller that hides secrets; it is told at once, and once, of those that were registered and cannot be read."""
        told = hiding(tell, AMBIENT.masked)
        if self._traces is not None:
            self._traces.tell = told
        if self._untraced is not None:
            told("no traces are told", why=self._untraced)
            self._untraced = None
        missing, self._missing = self._missing, {}
        for why in missing.values():
            told("registered secret cannot be hidden", why=why)
        return told

    def _tracing(self) -> tuple[SpanWitness | None, str | None]:
        """Return who tells traces, or why nobody does although they are asked for."""
        kind = wanted(os.environ)
        if kind is None:
            return None, None
        if why := unfit(kind, os.environ):
            return None, why

        def exporting() -> Exporting:
            from importlib.metadata import version  # slow to import

            from mulligan.tracing.exporting import Exporter

            return Exporter(kind, version("mulligan"), AMBIENT.masked)

        return SpanWitness(self.engine, exporting), None

    def chores(self, own: Callable[[], int | None]) -> list[Chore]:
        """Return the chores that every worker does; `own` tells its id."""
        return safety_chores(self.engine, self.commands, self.submitting, self.bulk_pages, self.presence, own)

    def submit_inside(self, payload: str, caller: str) -> str:
        """Store what a running task submits, and return its job as JSON; `caller` is the id of its work item."""
        taken = self.submitting.take(submission_from_json(payload, caller))
        with self.store.read() as session:
            job = session.jobs.read(taken.job)
        assert job is not None  # noqa: S101 - just stored
        return json.dumps({"id": str(job.id), "run_id": job.run_id, "status": job_status(job.counts)})


def server_gateway(settings: Settings, tell: Tell | None = None) -> Gateway:
    """Return a client's gateway to the server that the settings name; raises ConfigError.

    Nothing is sent yet. `tell` hears when a request has to wait for the server: whoever reads this process' log unless given.
    """
    from mulligan.gateway.address import address_of
    from mulligan.gateway.server import ServerGateway

    address = address_of(settings.server, settings.api_key, settings.request_timeout, insecure=settings.insecure)
    return ServerGateway(address, tell or server_teller())


def migrate(settings: Settings, tell: Callable[[str], None]) -> Migrated:
    """Bring the schema of a store up to date; raises StoreNewer, StoreBusy, StoreError."""
    check_store(settings)
    if settings.sqlite_path is None:
        from mulligan.store import postgres_schema
        from mulligan.store.postgres import Place, conninfo, in_our_words, shown

        place = Place(settings.database, settings.schema, settings.pooler == "transaction")
        with in_our_words(shown(place)):
            return postgres_schema.migrate(place, conninfo(place), tell=tell)
    from mulligan.store.sqlite import SqliteDatabase, version_of

    before = version_of(settings.sqlite_path)
    SqliteDatabase(settings.sqlite_path).close()
    return Migrated(before, version_of(settings.sqlite_path))


def _open(settings: Settings, *, make: bool) -> tuple[Database, Presence, Clock]:
    """Open the store that the settings name, with its presence and its clock; a driver is imported only where it is used."""
    path = settings.sqlite_path
    if path is None:
        from mulligan.store.postgres import Place, PostgresDatabase
        from mulligan.store.postgres_presence import PostgresPresence

        place = Place(settings.database, settings.schema, settings.pooler == "transaction")
        database = PostgresDatabase(place, settings.pool_size, make=make)
        return database, PostgresPresence(database), ServerClock(database.now_ms)
    from mulligan.store.sqlite import SqliteDatabase
    from mulligan.store.sqlite_presence import NoPresence, SqlitePresence

    if Path(path).parent.name == FOLDER:
        Path(path).parent.mkdir(exist_ok=True)
    file = SqliteDatabase(path, settings.synchronous)  # first: it looks whether the place is fit
    return file, NoPresence() if path == ":memory:" else SqlitePresence(path), SystemClock()


@cache
def whoami() -> str:
    """Return who runs this process, for the audit."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"

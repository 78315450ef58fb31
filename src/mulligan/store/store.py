"""The store: all verbs over one database, inside a write transaction or a read snapshot."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from mulligan.store.interface import Database, Run
from mulligan.store.listing import Listing
from mulligan.store.migrating import migrations
from mulligan.store.verbs.access import Access
from mulligan.store.verbs.bulk import Bulks
from mulligan.store.verbs.calls import Calls
from mulligan.store.verbs.causes import Causes
from mulligan.store.verbs.items import Items
from mulligan.store.verbs.items_at_once import ItemsAtOnce
from mulligan.store.verbs.jobs import Jobs
from mulligan.store.verbs.jobs_at_once import JobsAtOnce
from mulligan.store.verbs.past import Past
from mulligan.store.verbs.records import Records
from mulligan.store.verbs.summary import Summary
from mulligan.store.verbs.tallies import Tallies
from mulligan.store.verbs.tasks import Tasks
from mulligan.store.verbs.traces import Traces
from mulligan.store.verbs.uploads import Uploads
from mulligan.store.verbs.windows import Windows
from mulligan.store.verbs.workers import Workers


class Session:
    """The verbs, bound to one connection; valid only inside the transaction it was handed out in."""

    def __init__(self, run: Run, *, at_once: bool) -> None:
        self.items = ItemsAtOnce(run) if at_once else Items(run)
        self.jobs = JobsAtOnce(run) if at_once else Jobs(run)
        self.calls = Calls(run)
        self.tasks = Tasks(run)
        self.workers = Workers(run)
        self.records = Records(run)
        self.windows = Windows(run)
        self.past = Past(run)
        self.access = Access(run)
        self.summary = Summary(run)
        self.causes = Causes(run)
        self.tallies = Tallies(run)
        self.uploads = Uploads(run)
        self.bulk = Bulks(run)
        self.traces = Traces(run)


class Store:
    """A database with its verbs. Used by any thread; one writes at a time."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.version = migrations(database.dialect)[-1].number
        """The newest schema that this code knows."""
        self.listing = Listing(database)
        self._writing = Session(database.in_writer, at_once=database.at_once)
        self._reading = Session(database.in_reader, at_once=database.at_once)

    @contextlib.contextmanager
    def write(self) -> Iterator[Session]:
        """Hold a write transaction: all that is done in it is committed at its end, or nothing."""
        with self.database.write():
            try:
                yield self._writing
                self._writing.causes.write()
            finally:
                self._writing.causes.drop_notes()

    @contextlib.contextmanager
    def read(self, *, patient: bool = False, single: bool = False) -> Iterator[Session]:
        """Hold a consistent snapshot; `patient`: for statements that may take long; `single`: for no more than one statement."""
        with self.database.read(patient=patient, single=single):
            yield self._reading

    def close(self) -> None:
        """Close the database; safe to call twice."""
        self.database.close()

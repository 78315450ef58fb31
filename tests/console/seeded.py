"""A store with a past that says something: months of days, what failed in telling ways, what waits, what runs, hostile texts.

All of it came about through the engine; its clock stands still at the end, so that pages look the same at any time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from mulligan import BATCH, PermanentError, TransientError
from mulligan.config.rules import rules_of
from mulligan.console.verbs import VERBS
from mulligan.core.bulk import BulkAction
from mulligan.core.definition import Definition
from mulligan.core.events import Failed, Run
from mulligan.core.job import Item, ItemKey
from mulligan.core.judged import failed
from mulligan.core.submission import NewCall, NewItem, Options
from mulligan.engine.asking import Asker, Target
from mulligan.engine.bulk import BulkWanted
from mulligan.engine.exchanging import Notes
from mulligan.sdk.facts import failure_of
from mulligan.store.interface import Database
from mulligan.testing.clock import VirtualClock
from mulligan.testing.factories import a_definition
from mulligan.testing.harness import Hand, Harness
from mulligan.worker.reporting import Outcomes, unrecordable

NOW = datetime(2026, 3, 9, 2, 14, tzinfo=UTC)
"""At night, when people look at it."""
DAYS = 90
ITEMS = 1000
FOREVER_MS = 10**12
HOSTILE = (
    "</pre><script>document.title='taken over'</script><img src=x onerror=\"document.title='taken over'\"> & \"quoted\" 'it'"
)
ANSI = "\x1b[31mred\x1b[0m \x1b]8;;https://example.org\x07a link\x1b]8;;\x07 \x07bell"
LONG = "one column after another, " * 300 + "and-a-word-that-has-no-end-" * 40
ANN, BOB = Asker("ann", "rest", "the column was renamed; the fix is deployed", "192.0.2.7"), Asker("bob", "cli", "too slow")

DELAYS = a_definition(
    "flight_delays", retries=BATCH, window="window", online=True, offline=True, timeout_s=900.0, uses=("object-store",)
)
USERS = a_definition("user_features", retries=BATCH, window="window", offline=True)
EMBED = a_definition("embed_items", retries=(2, 60), offline=True, idempotent=True)
RETRAIN = a_definition("retrain", retries=2, executor="workflow")
PARTS = [a_definition(name, retries=BATCH, offline=True) for name in ("load_features", "train", "evaluate", "register")]
EXPORT = a_definition("export_warehouse", retries=(3, 600))
BACKUP = a_definition("backup")
HOSTILE_TASK = a_definition("imports")
TASKS = (DELAYS, USERS, EMBED, RETRAIN, *PARTS, EXPORT, BACKUP, HOSTILE_TASK)

FAILED = ("one of many", "failed", "retrying", "hostile 0", "without facts")
"""Items that failed, each for another reason."""


def renamed(columns: Iterable[str]) -> None:
    """Look for a column as a task would, so that there is a traceback."""
    names = ", ".join(columns)
    raise PermanentError(f"no column dep_delay among {names}")


def unavailable() -> None:
    """Ask a store that is not there."""
    raise TransientError("503 Service Unavailable: object-store.example.org/flights/2026-03-08.csv")


def too_short(number: int) -> None:
    """Fail for the one reason of a thousand items."""
    raise TypeError(f"embedding of item {number} has 767 numbers, not 768 (model 3f{number:06x})")


@dataclass
class Seeded:
    """The store and where to find what in it; ids are as people write them."""

    harness: Harness
    jobs: dict[str, int] = field(default_factory=dict)
    items: dict[str, ItemKey] = field(default_factory=dict)
    verbs: tuple[str, ...] = tuple(VERBS)
    causes: list[str] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)

    def id_of(self, name: str, kind: str) -> str:
        """Return the id of a job or a work item by the name it has here."""
        return str(self.jobs[name] if kind == "jobs" else self.items[name])

    def few(self) -> Seeded:
        """Return the same store with only those jobs and items in view that look different from one another."""
        jobs = {name: self.jobs[name] for name in ("failed", "running", "retraining", "hostile")}
        items = ("failed", "succeeded", "retrained", "hostile 0", "retrying", "running", "waiting")
        return Seeded(
            self.harness,
            jobs,
            {name: self.items[name] for name in items},
            ("retry", "overwrite"),
            self.causes[:1],
            self.operations,
        )

    def names(self) -> dict[str, list[str]]:
        """Return, for the parameters of pages, the ids and names that are worth looking at."""
        return {
            "jobs": [str(each) for each in self.jobs.values()],
            "work-items": [str(each) for each in self.items.values()],
            "pipelines": [each.name for each in TASKS],
            "causes": self.causes,
            "operations": self.operations,
        }


def seeded(database: Database | None = None) -> Seeded:
    """Make the store, in memory unless a database is given; takes about a second."""
    started = NOW - timedelta(days=DAYS)
    harness = Harness(clock=VirtualClock(round(started.timestamp() * 1000)), database=database)
    for each in TASKS:
        harness.publish(each)
    made = Seeded(harness)
    worker = harness.worker(*TASKS, lease_ms=FOREVER_MS)
    _Past(made, worker).tell()
    return made


class _Past:
    def __init__(self, made: Seeded, worker: Hand) -> None:
        self.made = made
        self.harness = made.harness
        self.worker = worker
        self.outcomes = Outcomes(*rules_of(""))

    def tell(self) -> None:
        self._nights()
        self._backfill()
        self._failed_backfill()
        self._pass_until(NOW - timedelta(hours=2))
        self._workflow()
        self._cancelled()
        self._pass_until(NOW - timedelta(minutes=20))
        self._many_of_one_cause()
        self._hostile()
        self._pass_until(NOW - timedelta(minutes=3))
        self._retrying()
        self._running()
        self._waiting()
        self._bulk()
        self._pass_until(NOW)
        self.made.causes = sorted(
            {each.cause for name in FAILED for each in self.harness.attempts(self.made.items[name]) if each.cause}
        )

    def _nights(self) -> None:
        """A job each night for a month, a few of which had to try again."""
        for day in range(30):
            window = _day(NOW - timedelta(days=DAYS - day))
            job = self._submit(USERS, [window], run_id=f"nightly-{window.key}")
            item = self.worker.take()
            if day % 9 == 4:
                self._fail(item, unavailable)
                self.harness.clock.pass_(400)
                item = self.worker.take()
            self._write(item, f"{window.key}: 12,{day:03} users\n")
            self._took(40 + 3 * day, item, rows=12_000 + day)
            self.harness.clock.pass_(86_400 - 900)
        self.made.jobs["night"] = job

    def _backfill(self) -> None:
        days = [_day(NOW - timedelta(days=DAYS + 30 - day)) for day in range(60)]
        job = self._submit(USERS, days, run_id="backfill-winter", kind="backfill", tz="UTC")
        for item in self.worker.claim(60):
            self.worker.succeed(item, "11000", 11_000)
        self.made.jobs["backfill"], self.made.items["succeeded"] = job, ItemKey(job, 7)

    def _failed_backfill(self) -> None:
        """Months of days of which two failed since a column was renamed."""
        days = [_day(NOW - timedelta(days=DAYS - day)) for day in range(DAYS)]
        job = self._submit(DELAYS, days, run_id="delays-2026", kind="backfill", tz="UTC", labels={"team": "ads", "tier": "1"})
        for item in self.worker.claim(DAYS):
            self._save(item)
            if item.number in (38, 71):
                self._write(item, f"reading {days[item.number].key}.csv: 31,204 rows\nno column dep_delay\n")
                self._fail(item, lambda: renamed(["year", "month", "day", "dep_time", "departure_delay_minutes"]))
            elif item.number % 17 == 3:
                self._fail(item, unavailable)
            else:
                self.worker.succeed(item, "29", 29)
        for wait_s in (400, 700):
            self.harness.clock.pass_(wait_s)
            for item in self.worker.claim(DAYS):
                if wait_s == 400 and item.number == 3:
                    self._fail(item, unavailable)
                else:
                    self._took(20, item, rows=29)
        self.made.jobs["failed"] = job
        self.made.items |= {"failed": ItemKey(job, 38), "tried twice": ItemKey(job, 3)}

    def _workflow(self) -> None:
        """A retraining that failed while it trained, was recovered, and one that is in the middle of it."""
        for name, until in (("retrained", 4), ("retraining", 2)):
            job = self._submit(RETRAIN, [NewItem("2026-03-08", '{"day": "2026-03-08"}')], run_id=f"{name}-2026-03-08")
            root = self.worker.take()
            for number, part in enumerate(PARTS[:until]):
                self.worker.call(root, _call(number, part))
                item = self.worker.take()
                if name == "retrained" and part.name == "train":
                    self._fail(item, _out_of_memory)
                    self.harness.clock.pass_(400)
                    item = self.worker.take()
                if name == "retrained" or number < until - 1:
                    self._took(90, item)
                else:
                    self._tell_progress(item, 31, 40)
                    self.made.items["call"] = item.key
            if name == "retrained":
                self.worker.succeed(self.harness.item(root.key), "17")
            self.made.jobs[name], self.made.items[name] = job, root.key

    def _cancelled(self) -> None:
        job = self._submit(EXPORT, [NewItem(f"table-{n}", json.dumps({"table": f"t{n}"})) for n in range(8)], run_id="export-old")
        first, second, third = self.worker.claim(3)
        self.worker.succeed(first, '"s3://warehouse/t.parquet"')
        self.worker.exchange((second, unrecordable(second, ValueError("the disk is full"))))
        self.worker.succeed(third, '"s3://warehouse/t.parquet"')
        self.harness.commands.cancel(Target(job=job), BOB)
        self.made.jobs["cancelled"], self.made.items["cancelled"] = job, ItemKey(job, 5)
        self.made.items["without facts"] = second.key

    def _many_of_one_cause(self) -> None:
        """A thousand items that failed for one reason, which no two messages say alike."""
        job = self._submit(
            EMBED, [NewItem(f"item-{n:05}", json.dumps({"id": n})) for n in range(ITEMS)], run_id="embed-catalogue"
        )
        for _ in range(2):
            claimed = self.worker.claim(ITEMS // 2)
            self.worker.exchange(*((item, self._failure(item, partial(too_short, item.number))) for item in claimed))
        self.made.jobs["many failed"], self.made.items["one of many"] = job, ItemKey(job, 500)

    def _hostile(self) -> None:
        keys = [HOSTILE, ANSI, "a" * 190, "\u202eright to left\u202c and \u200bnothing", "'; drop table items; --"]
        job = self._submit(
            HOSTILE_TASK,
            [NewItem(key, json.dumps({"text": key, "nul": "a\0b"})) for key in keys],
            labels={"<b>": "<i>&amp;"},
            run_id="<b>bold",
        )
        texts = [HOSTILE, ANSI, LONG, "NUL \0 and \ud800 half", "\n\n\t \r\nlines\r\n" * 20]
        for item, text in zip(self.worker.claim(len(keys)), texts, strict=True):
            self._write(
                item, f"{text}\n{HOSTILE}\n{ANSI}\n".encode("utf-8", "replace").decode()
            )  # as a worker reads what is written
            self._fail(item, lambda text=text: _say(text))  # type: ignore[misc]
        self.made.jobs["hostile"] = job
        self.made.items |= {f"hostile {n}": ItemKey(job, n) for n in range(len(keys))}

    def _retrying(self) -> None:
        job = self._submit(DELAYS, [_day(NOW - timedelta(days=1))], run_id="nightly-delays")
        self._fail(self.worker.take(), unavailable)
        self.made.jobs["retrying"], self.made.items["retrying"] = job, ItemKey(job, 0)

    def _running(self) -> None:
        job = self._submit(EXPORT, [NewItem(f"table-{n}", json.dumps({"table": f"t{n}"})) for n in range(5)], run_id="export-new")
        first, second, third = self.worker.claim(3)
        self.worker.succeed(first, '"s3://warehouse/t0.parquet"')
        self._write(second, "1,000,000 rows of 3,400,000\n")
        self._tell_progress(second, 1, 3.4)
        self.harness.commands.cancel(Target(items=(third.key,)), BOB)
        self.made.jobs["running"] = job
        self.made.items |= {"running": second.key, "cancellation requested": third.key, "pending": ItemKey(job, 4)}

    def _waiting(self) -> None:
        """What waits since somebody has paused its task."""
        self.harness.commands.pause(BACKUP.name, Asker("ann", "rest", "the disk is full"), paused=True)
        job = self._submit(BACKUP, [NewItem("weekly", "{}")], run_id="backup-10")
        self.made.jobs["waiting"], self.made.items["waiting"] = job, ItemKey(job, 0)

    def _bulk(self) -> None:
        """Somebody has asked for all of one pipeline to be tried again, which is about to begin."""
        asked = BulkWanted(BulkAction.RETRY, {"task": HOSTILE_TASK.name}, ANN, name=HOSTILE)
        self.made.operations = [str(self.harness.bulk.create(asked).id)]

    def _submit(self, task: Definition, items: Iterable[NewItem], **options: Any) -> int:
        return self.harness.submit(task, items, **options)

    def _took(self, seconds: float, item: Item, rows: int | None = None) -> None:
        self.harness.clock.pass_(seconds)
        self.worker.succeed(item, "null" if rows is None else str(rows), rows)

    def _fail(self, item: Item, break_it: Callable[[], None]) -> None:
        self.worker.exchange((item, self._failure(item, break_it)))

    def _failure(self, item: Item, break_it: Callable[[], None]) -> Failed:
        """Fail as it does in a worker: with the traceback of an error, classified by the rules that come with it."""
        try:
            break_it()
        except Exception as error:
            failure = failure_of(error)
        definition = self.worker.held[item.key].definition
        run = Run(item.token, item.worker or 0, self.harness.clock.now_ms(), item.claimed_ms, None, 4711)
        return failed(run, failure, *self.outcomes.judge(failure, definition))

    def _save(self, item: Item) -> None:
        self.worker.save(item, "step", f"download:{item.number}", '{"path": "raw/flights.csv", "rows": 31204}')

    def _write(self, item: Item, text: str) -> None:
        self.worker.exchange(notes=Notes(logs=[(item.job, item.number, item.token, 0, text)]))

    def _tell_progress(self, item: Item, done: float, total: float) -> None:
        self.worker.exchange(notes=Notes(progress=[(item.job, item.number, item.token, done, total)]))

    def _pass_until(self, moment: datetime) -> None:
        self.harness.clock.pass_(moment.timestamp() - self.harness.clock.now_ms() / 1000)


def _day(moment: datetime) -> NewItem:
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    first = round(day.timestamp() * 1000)
    return NewItem(f"{day:%Y-%m-%d}", "{}", (first, first + 86_400_000))


def _call(number: int, part: Definition) -> NewCall:
    return NewCall(f"{number}", f"digest-{number}", NewItem(part.name, '{"depth": 5}'), part, Options())


def _out_of_memory() -> None:
    raise MemoryError("cannot allocate 14.2 GiB for an array of shape (1900000, 1000)")


def _say(text: str) -> None:
    raise ValueError(text)

"""Simulated bodies of workflows: the real calls and their real channel without threads; a body that would wait is run anew."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from sim_executor import ERRORS, GRACE_S, KILL_S, Deed, SimExecutor
from sim_executor import Witness as AttemptWitness
from sim_model import FLOWS, PLAIN, RETRY_AFTER_S, Seen

from mulligan.core.attempt import AttemptInfo, StopCause
from mulligan.core.definition import Definition
from mulligan.core.errors import ReplayMismatch, TaskFailed
from mulligan.core.failure import ErrorFacts, Failure, Kind
from mulligan.core.job import FailureClass, ItemKey
from mulligan.core.replay import MANY, Past
from mulligan.core.signals import Snooze
from mulligan.core.signals import Stopped as StoppedSignal
from mulligan.core.submission import NewCall, NewItem, Options, Submission
from mulligan.sdk.calls import Call, CallBackend
from mulligan.sdk.facts import failure_of
from mulligan.worker.executors.bodies.channel import BodyChannel
from mulligan.worker.executors.interface import Assignment, Failed, Report, Snoozed, Stopped, Succeeded
from mulligan.worker.executors.routing import RoutingExecutor

SLOTS = 2


class Witness(AttemptWitness, Protocol):
    """Who is told what bodies really did, too."""

    def answered(self, deed: Deed, call: Past) -> None: ...


class NotYet(BaseException):
    """The body waits for a call: here it is left, and run anew when something has ended."""


class OwnError(Exception):
    """What a body raises by itself."""


class Group(NamedTuple):
    """Calls that a body makes at once."""

    task: str
    count: int
    changes: bool
    """Whether newer code makes them with other arguments."""
    waits: bool
    catches: bool
    options: Options


class BodyPlan(NamedTuple):
    """What a body does each time that it is run, in the order in which it does it."""

    groups: tuple[tuple[Group, ...], ...]
    """Each made at once, then waited for."""
    raises: str
    """The error that it ends with, or nothing."""
    always: bool
    """Whether it raises that in all rounds, and not only in the first of a generation."""
    snoozes: bool


class SimChannel(BodyChannel):
    """The real channel, but for waiting, and for what a body has made before it was left."""

    def __init__(self, id: int, round: int, report: Callable[[Report], None]) -> None:
        super().__init__(id, round, None, report)
        self._known: set[str] = set()

    def make(self, calls: Sequence[NewCall]) -> None:
        new = [each for each in calls if each.place not in self._known]
        self._known.update(each.place for each in new)
        if new:
            super().make(new)

    def wait(self, places: Iterable[str]) -> None:
        if any(self.ended(place) is None for place in places):
            self._refuse_stopped()
            raise NotYet


class SimBackend(CallBackend):
    """The real calls; a witness is told of each answer."""

    heard: Callable[[Past], None]

    def read(self, place: str, past: Past, decode: Callable[[str], Any]) -> Any:
        self.heard(past)
        return super().read(place, past, decode)


@dataclass(slots=True)
class Body:
    """A body in the executor's hands."""

    assignment: Assignment
    info: AttemptInfo
    deed: Deed
    plan: BodyPlan
    channel: SimChannel
    dice: random.Random
    next_at: float
    started_ms: int
    limit_at: float
    stubborn: bool
    waits: bool = False
    cause: StopCause | None = None
    limit: Kind | None = None
    abandon_at: float = field(default=float("inf"))


class SimBodies:
    """Implements `interface.Executor` for workflows without threads."""

    trouble = None

    def __init__(
        self,
        monotonic: Callable[[], float],
        now_ms: Callable[[], int],
        seed: int,
        witness: Witness,
        worker: Callable[[], int | None],
        definition: Callable[[str], Definition],
        version: Callable[[str], str],
    ) -> None:
        self._monotonic = monotonic
        self._now_ms = now_ms
        self._seed = seed
        self._witness = witness
        self._worker = worker
        self._definition = definition
        """Returns a task as it is declared now."""
        self._version = version
        """Of the code of a workflow that is loaded here."""
        self._running: dict[int, Body] = {}
        self._reports: list[Report] = []
        self._dead = False

    def room(self, asynchronous: bool = False) -> int:
        """Return how many more bodies could start at once: those that wait need no slot."""
        return max(0, SLOTS - sum(not each.waits for each in self._running.values()))

    def slots_for(self, task: str) -> int:
        """Return the same."""
        return self.room()

    def room_for(self, task: str) -> int:
        """Return the same."""
        return self.room()

    def start(self, batch: Sequence[Assignment]) -> None:
        """Run these bodies."""
        now = self._monotonic()
        for each in batch:
            info = each.info
            assert info is not None, "the body of a workflow is always given it"
            deed = Deed(ItemKey(int(info.job), info.number), info.generation, info.attempt)
            dice = random.Random(f"body {self._seed} {deed}")
            channel = SimChannel(each.id, info.round, self._reports.append)
            plan = plan_of(random.Random(f"plan {self._seed} {deed.key}"), each.task)
            limit_at = float("inf") if each.timeout_s is None else now + each.timeout_s
            start_at = now + dice.choice([0.0, 0.0, 0.4])
            self._running[each.id] = Body(
                each, info, deed, plan, channel, dice, start_at, self._now_ms(), limit_at, dice.random() < 0.1
            )
            for past in info.calls:
                channel.arrived(past)
            self._witness.began(deed, info, self._worker())

    def stop(self, id: int, cause: StopCause) -> None:
        """Ask a body to stop."""
        body = self._running.get(id)
        if body is not None and body.cause is None:
            self._stop(body, cause, None)

    def answer(self, id: int, call: int, value: str | None, error: str | None) -> None:
        """Answer nobody: bodies save nothing here."""

    def arrived(self, id: int, call: Past) -> None:
        """Tell a body that a call has ended."""
        body = self._running.get(id)
        if body is not None:
            body.channel.arrived(call)
            if body.waits and body.cause is None:
                body.next_at = min(body.next_at, self._monotonic() + body.dice.choice([0.0, 0.1, 0.4]))

    def files(self) -> Sequence[int]:
        """Return no files: the world looks at `deadline`."""
        return ()

    def poll(self) -> list[Report]:
        """Return what happened since the last poll."""
        now = self._monotonic()
        for id in list(self._running):  # noqa: A001 - the seam's name for it
            self._look(id, self._running[id], now)
        reports = self._reports.copy()
        self._reports.clear()
        return [] if self._dead else reports

    def deadline(self) -> float | None:
        """Return when something happens next."""
        if self._reports:
            return 0.0
        times = [
            min(each.next_at, each.abandon_at, each.limit_at if each.cause is None else float("inf"))
            for each in self._running.values()
        ]
        found = min(times, default=float("inf"))
        return None if found == float("inf") else found

    def runs(self) -> list[Deed]:
        """Return which bodies run here."""
        return [each.deed for each in self._running.values()]

    def waiting(self) -> list[Deed]:
        """Return which of them wait for their calls."""
        return [each.deed for each in self._running.values() if each.waits and each.cause is None]

    def close(self) -> None:
        """End what runs."""
        self.die()

    def die(self) -> None:
        """End with all that runs: nothing more is heard of it."""
        self._dead = True
        self._running.clear()
        self._reports.clear()

    def _stop(self, body: Body, cause: StopCause, limit: Kind | None) -> None:
        now = self._monotonic()
        body.cause, body.limit = cause, limit
        body.channel.stop(cause)
        body.next_at = float("inf") if body.stubborn else now + body.dice.choice([0.0, 0.2, 3.0])
        body.abandon_at = now + GRACE_S + KILL_S

    def _look(self, id: int, body: Body, now: float) -> None:
        if body.abandon_at <= now:
            self._end(id, self._stopped(id, body, killed=True), str(body.limit or "abandoned"))
        elif body.cause is None and body.limit_at <= now:
            self._stop(body, "timeout", Kind.CUTOFF if body.assignment.cutoff else Kind.TIMEOUT)
        elif body.next_at <= now:
            self._go_on(id, body)

    def _go_on(self, id: int, body: Body) -> None:
        backend = SimBackend(body.assignment.task, body.channel, None, body.info)
        backend.heard = lambda past: self._witness.answered(body.deed, past)
        times, body.waits = (body.started_ms, self._now_ms()), False
        try:
            try:
                result = self._run(body, backend)
            except Exception:
                backend.wait_for_all()
                raise
            backend.wait_for_all()
        except NotYet:
            body.next_at, body.waits = float("inf"), True
        except StoppedSignal:
            self._end(id, self._stopped(id, body, killed=False), str(body.limit or "stopped"))
        except Snooze as snooze:
            self._end(id, Snoozed(id, *times, float(snooze.delay), None, 1), "snooze")
        except OwnError:
            name = body.plan.raises
            facts = ErrorFacts((ERRORS[name], "Exception"), name, retry_after_s=RETRY_AFTER_S if name == "limited" else None)
            self._end(id, Failed(id, *times, Failure(Kind.EXCEPTION, (facts,)), None, 1), name)
        except (TaskFailed, ReplayMismatch) as error:
            given = error.failure_class if isinstance(error, TaskFailed) else None
            declared = None if given is None else FailureClass(given)
            what = f"call {declared}" if declared else type(error).__name__
            self._end(id, Failed(id, *times, failure_of(error, declared), None, 1), what)
        else:
            self._end(id, Succeeded(id, *times, result, None, 1), "succeed", result)

    def _run(self, body: Body, backend: CallBackend) -> str:
        if body.plan.snoozes and body.info.attempt == 1:
            raise Snooze(4.0)
        newer = self._version(body.assignment.task) == "1"
        results: list[Any] = []
        for place, groups in enumerate(body.plan.groups):
            made = [(each, self._call(backend, f"{place}", each, newer=newer)) for each in groups]
            for group, call in made:
                if group.waits:
                    results += [each if isinstance(each, str) else None for each in call.results(group.catches)]
        first = body.info.round % MANY == 0
        if body.plan.raises and (first or body.plan.always):
            raise OwnError
        return json.dumps(results)

    def _call(self, backend: CallBackend, place: str, group: Group, *, newer: bool) -> Call[Any]:
        value = f"{place}{' changed' if newer and group.changes else ''}"
        items = [NewItem(str(number), json.dumps({"x": f"{value} {number}"})) for number in range(group.count)]
        kind: Any = "submit" if group.count == 1 else "map"
        call: Call[Any] = backend.take(Submission(self._definition(group.task), kind, items, group.options))
        return call

    def _stopped(self, id: int, body: Body, *, killed: bool) -> Report:
        if body.limit is not None:
            return Failed(id, body.started_ms, self._now_ms(), Failure(body.limit, message="too long"), None, 1)
        return Stopped(id, body.started_ms, self._now_ms(), body.cause or "cancel", None, 1, killed)

    def _end(self, id: int, report: Report, what: str, result: str | None = None) -> None:
        body = self._running.pop(id)
        self._witness.ended(body.deed, Seen(type(report).__name__, what, result))
        self._reports += [report, report] if body.dice.random() < 0.03 else [report]


class SimBoth(RoutingExecutor):
    """The real executor of all kinds of attempts, over two that are simulated."""

    def __init__(self, processes: SimExecutor, bodies: SimBodies) -> None:
        super().__init__(processes, bodies, lambda task: task in FLOWS)
        self._both = processes, bodies

    def runs(self) -> list[Deed]:
        """Return which attempts' code runs here."""
        return [deed for each in self._both for deed in each.runs()]

    def waits(self) -> list[Deed]:
        """Return which bodies wait for their calls."""
        return self._both[1].waiting()

    def die(self) -> None:
        """End with all that runs."""
        for each in self._both:
            each.die()


def plan_of(dice: random.Random, task: str) -> BodyPlan:
    """Return what the bodies of an item do, by the dice of the item: the same at each replay."""
    groups = tuple(
        tuple(_group(dice, task, f"{place}.{number}") for number in range(dice.choice([1, 1, 2])))
        for place in range(dice.choice([0, 1, 1, 2]))
    )
    raises = dice.choice([""] * 7 + ["transient", "unknown", "limited", "permanent"])
    return BodyPlan(groups, raises, dice.random() < 0.2, dice.random() < 0.05)


def _group(dice: random.Random, task: str, name: str) -> Group:
    called = [*PLAIN, *PLAIN, "flow"] if task == "flows" else list(PLAIN)
    options = Options(
        key=name if dice.random() < 0.2 else None,
        delay_s=dice.choice([None, None, None, None, 5.0]),
        total_timeout_s=dice.choice([None, None, None, None, 30.0]),
        priority=dice.choice([None, None, 1]),
    )
    return Group(
        dice.choice(called), dice.choice([1, 1, 1, 2]), dice.random() < 0.25, dice.random() < 0.85, dice.random() < 0.5, options
    )

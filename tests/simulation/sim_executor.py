"""A simulated executor: attempts do what chance has laid down for them, and take no time but the world's."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from sim_model import CROWD, RETRY_AFTER_S, Seen

from mulligan.core.attempt import AttemptInfo, StopCause
from mulligan.core.failure import ErrorFacts, Failure, Kind
from mulligan.core.job import ItemKey
from mulligan.worker.executors.interface import (
    Assignment,
    Call,
    Failed,
    Logged,
    Progressed,
    Report,
    Returned,
    Snoozed,
    Started,
    Stopped,
    Succeeded,
)

GRACE_S, KILL_S = 5.0, 2.0
SLOTS, CROWD_SLOTS = 3, 4
CURSOR = "the cursor"
ERRORS = {
    "transient": "mulligan.core.signals.TransientError",
    "permanent": "mulligan.core.signals.PermanentError",
    "limited": "mulligan.core.signals.RateLimited",
    "unknown": "app.Strange",
}


class Deed(NamedTuple):
    """An attempt as the outside sees it: which work item it works for, and which attempt of which generation it is."""

    key: ItemKey
    generation: int
    attempt: int


class Witness(Protocol):
    """Who is told what attempts really did."""

    def began(self, deed: Deed, info: AttemptInfo, worker: int | None) -> None: ...

    def saving(self, deed: Deed, step: str, value: str) -> None: ...

    def saved(self, deed: Deed, step: str) -> None: ...

    def submitted(self, deed: Deed, call: int, job: int) -> None: ...

    def ended(self, deed: Deed, seen: Seen) -> None: ...


@dataclass(slots=True)
class Running:
    """An attempt in the executor's hands: what it is going to do, and when."""

    assignment: Assignment
    deed: Deed
    script: list[tuple[float, str]]
    """Seconds to wait, then what to do."""
    next_at: float
    stubborn: bool
    waits: str = ""
    """What for, where it waits for the answer to a call: `step`, `submit`."""
    calls: int = 0
    step: str = ""
    what: str = ""
    """What it did last."""
    started: bool = False
    started_ms: int = 0
    limit_at: float = float("inf")
    cause: StopCause | None = None
    stop_at: float = float("inf")
    rows: int | None = None
    dice: random.Random = field(default_factory=random.Random)

    @property
    def crowded(self) -> bool:
        """Whether it shares its process with others."""
        return self.assignment.task == CROWD and not self.assignment.alone


class SimExecutor:
    """Implements `interface.Executor` without processes."""

    trouble = None

    def __init__(
        self,
        monotonic: Callable[[], float],
        now_ms: Callable[[], int],
        seed: int,
        witness: Witness,
        worker: Callable[[], int | None],
        submission: Callable[[int], str | None],
    ) -> None:
        self._monotonic = monotonic
        self._now_ms = now_ms
        self._seed = seed
        self._witness = witness
        self._worker = worker
        self._submission = submission
        """Makes the payload of what an attempt submits in one of its calls; None where the world is full."""
        self._running: dict[int, Running] = {}
        self._reports: list[Report] = []
        self._dead = False

    def room(self, asynchronous: bool = False) -> int:
        """Return how many more attempts could start at once."""
        return self._free(asynchronous=asynchronous)

    def slots_for(self, task: str) -> int:
        """Return how many more attempts could start at once."""
        return self._free(asynchronous=task == CROWD)

    def room_for(self, task: str) -> int:
        """Return how many attempts should be taken: some wait here behind others."""
        return self.slots_for(task) + (0 if task == CROWD else SLOTS)

    def _free(self, *, asynchronous: bool) -> int:
        held = sum(each.crowded is asynchronous for each in self._running.values())
        return max(0, (CROWD_SLOTS if asynchronous else SLOTS) - held)

    def start(self, batch: Sequence[Assignment]) -> None:
        """Take these attempts."""
        for assignment in batch:
            info = assignment.info
            assert info is not None, "tasks of the simulation take a Context"
            deed = Deed(ItemKey(int(info.job), info.number), info.generation, info.attempt)
            dice = random.Random(f"{self._seed} {deed}")
            self._running[assignment.id] = Running(
                assignment,
                deed,
                _script(dice, {key for key, _ in info.steps}),
                0.0,
                dice.random() < 0.2,
                dice=dice,
            )
        self._begin_some()

    def stop(self, id: int, cause: StopCause) -> None:
        """Ask an attempt to stop; what has not begun comes back."""
        running = self._running.get(id)
        if running is None or running.cause is not None:
            return
        running.cause = cause
        if not running.started:
            del self._running[id]
            self._reports.append(Returned(id))
            return
        running.stop_at = self._monotonic() + (GRACE_S + KILL_S if running.stubborn else running.dice.choice([0.0, 0.2, 3.0]))

    def answer(self, id: int, call: int, value: str | None, error: str | None) -> None:
        """Go on with an attempt that waits, or end it by the error."""
        running = self._running.get(id)
        if running is None or not running.waits or call != running.calls:
            return
        waited, running.waits = running.waits, ""
        if error is not None:
            running.script = [(0.0, "unknown")]
        elif waited == "submit":
            self._witness.submitted(running.deed, call, int(value or 0))
        else:
            self._witness.saved(running.deed, running.step)
        running.next_at = self._monotonic() + running.script[0][0]

    def files(self) -> Sequence[int]:
        """Return no files: the world looks at `deadline`."""
        return ()

    def poll(self) -> list[Report]:
        """Return what happened since the last poll."""
        if self._dead:
            return []
        now = self._monotonic()
        for id in list(self._running):  # noqa: A001 - the seam's name for it
            self._go_on(id, now)
        self._begin_some()
        reports, self._reports = self._reports, []
        return reports

    def deadline(self) -> float | None:
        """Return when something happens next."""
        if self._reports:
            return 0.0
        times = [min(each.limit_at, each.stop_at, float("inf") if each.waits else each.next_at) for each in self._begun()]
        found = min(times, default=float("inf"))
        return None if found == float("inf") else found

    def runs(self) -> list[Deed]:
        """Return which attempts' code runs here."""
        return [each.deed for each in self._begun()]

    def close(self) -> None:
        """Kill what runs."""
        self.die()

    def die(self) -> None:
        """End with all that runs: nothing more is heard of it."""
        self._dead = True
        self._running.clear()
        self._reports.clear()

    def _begun(self) -> list[Running]:
        return [each for each in self._running.values() if each.started]

    def _begin_some(self) -> None:
        begun = self._begun()
        free = {
            kind: slots - sum(each.crowded is kind for each in begun) for kind, slots in ((False, SLOTS), (True, CROWD_SLOTS))
        }
        for id, each in self._running.items():  # noqa: A001 - the seam's name for it
            if free[each.crowded] > 0 and not each.started:
                free[each.crowded] -= 1
                now = self._monotonic()
                each.started, each.started_ms = True, self._now_ms()
                each.next_at = now + each.script[0][0]
                if each.assignment.timeout_s is not None:
                    each.limit_at = now + each.assignment.timeout_s
                assert each.assignment.info is not None
                self._witness.began(each.deed, each.assignment.info, self._worker())
                self._reports.append(Started(id, each.started_ms, 1))

    def _go_on(self, id: int, now: float) -> None:
        running = self._running.get(id)  # gone where its process has just died with another attempt
        while running is not None and running.started and id in self._running:
            if running.stop_at <= now:
                self._end(
                    id,
                    Stopped(id, running.started_ms, self._now_ms(), running.cause or "cancel", running.rows, 1, running.stubborn),
                )
            elif running.limit_at <= now:
                kind = Kind.CUTOFF if running.assignment.cutoff else Kind.TIMEOUT
                running.what = "cutoff" if running.assignment.cutoff else "timeout"
                self._fail(id, Failure(kind, message="too long"))
            elif not running.waits and running.next_at <= now:
                self._do(id, running, running.script.pop(0)[1])
            else:
                return

    def _do(self, id: int, running: Running, what: str) -> None:
        running.what = what
        match what.split():
            case ["step" | "cursor" as kind, name]:
                value = f'"{name} {running.deed.generation}.{running.deed.attempt}"'
                running.step = CURSOR if kind == "cursor" else name
                self._witness.saving(running.deed, running.step, value)
                self._call(id, running, kind, value if kind == "cursor" else _payload(name, value))
                return
            case ["submit"]:
                payload = self._submission(running.calls + 1)
                if payload is not None:
                    self._call(id, running, "submit", payload)
                    return
            case ["progress"]:
                self._reports.append(Progressed(id, 1.0, 2.0))
            case ["log"]:
                self._reports.append(Logged(id, f"{running.deed}\n"))
            case ["succeed"]:
                result = f'"{running.deed.generation}.{running.deed.attempt}"'
                self._end(id, Succeeded(id, running.started_ms, self._now_ms(), result, running.rows, 1), result)
                return
            case ["snooze"]:
                self._end(id, Snoozed(id, running.started_ms, self._now_ms(), 4.0, None, 1))
                return
            case ["die"]:
                self._die(id, running)
                return
            case ["hang"]:
                running.next_at = float("inf")
                return
            case [name]:
                facts = ErrorFacts((ERRORS[name], "Exception"), name, retry_after_s=RETRY_AFTER_S if name == "limited" else None)
                self._fail(id, Failure(Kind.EXCEPTION, (facts,)))
                return
        running.next_at = self._monotonic() + running.script[0][0]

    def _call(self, id: int, running: Running, kind: Any, payload: str) -> None:
        running.calls, running.waits = running.calls + 1, kind
        self._reports.append(Call(id, running.calls, kind, payload))

    def _die(self, id: int, running: Running) -> None:
        """Have its process die, with all that runs in it."""
        together = [other for other, each in self._running.items() if each.started and each.crowded] if running.crowded else [id]
        for each in together:
            self._running[each].what = "die"
            self._fail(each, Failure(Kind.SIGNAL, signal=9, message="killed", crashed=True))

    def _fail(self, id: int, failure: Failure) -> None:
        running = self._running[id]
        self._end(id, Failed(id, running.started_ms, self._now_ms(), failure, running.rows, 1))

    def _end(self, id: int, report: Any, result: str | None = None) -> None:
        running = self._running.pop(id)
        self._witness.ended(running.deed, Seen(type(report).__name__, running.what, result))
        self._reports += [report, report] if running.dice.random() < 0.03 else [report]


def _script(dice: random.Random, saved: set[str]) -> list[tuple[float, str]]:
    steps = [f"step s{place}" for place in range(dice.choice([0, 0, 0, 1, 2])) if f"s{place}" not in saved]
    notes = dice.choice([[], [], [], ["progress"], ["log"], ["cursor c0", "cursor c1"], ["submit"]])
    ends = ["succeed"] * 6 + ["transient"] * 3 + ["unknown", "limited", "permanent", "snooze", "die", "hang"]
    return [(dice.choice([0.0, 0.1, 0.4, 2.0]), what) for what in (*notes, *steps, dice.choice(ends))]


def _payload(key: str, value: str) -> str:
    return f'{{"key": "{key}", "name": "{key}", "value": {_quoted(value)}}}'


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'

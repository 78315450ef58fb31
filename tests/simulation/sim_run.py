"""A run: a plan made of a seed, carried out in a world; and where a promise is broken, the shortest plan that breaks it."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sim_oracle import Broken
from sim_world import WEIGHTS, Action, World, small_pages

from mulligan.store.interface import Database
from mulligan.store.sqlite import SqliteDatabase

STEPS = 120
"""Actions in a plan; each lets processes do a few steps."""


class Run(NamedTuple):
    """What came of a plan."""

    seed: int
    plan: tuple[Action, ...]
    told: tuple[str, ...]
    broken: str | None
    steps: int
    faults: int
    passed_s: float

    @property
    def digest(self) -> str:
        """Stands for everything that happened."""
        return hashlib.sha256("\n".join((*self.told, str(self.broken))).encode()).hexdigest()

    @property
    def promise(self) -> str | None:
        """Name the promise that was broken."""
        return None if self.broken is None else self.broken.partition(":")[0]


def in_memory() -> Database:
    """Open an empty store."""
    return SqliteDatabase(":memory:", synchronous="NORMAL")


def plan_of(seed: int, steps: int = STEPS) -> tuple[Action, ...]:
    """Return what a seed has laid down."""
    dice = random.Random(f"plan {seed}")
    kinds = dice.choices(list(WEIGHTS), list(WEIGHTS.values()), k=steps)
    return tuple(Action(kind, dice.randrange(1 << 30)) for kind in kinds)


def run(seed: int, plan: Sequence[Action] | None = None, make: Callable[[], Database] = in_memory) -> Run:
    """Carry out a plan, the seed's own unless another is given; the seed still says what chance says to each process."""
    plan = plan_of(seed) if plan is None else plan
    database = make()
    broken: str | None = None
    with contextlib.closing(database), small_pages():
        world = World(database, seed)
        try:
            for action in plan:
                world.do(action)
            world.calm_down()
        except Broken as error:
            broken = str(error)
        except Exception as error:
            broken = f"{type(error).__name__}: {error}"
    return Run(seed, tuple(plan), tuple(world.told), broken, world.steps, world.faults, world.time.passed)


def shrink(found: Run, make: Callable[[], Database] = in_memory) -> Run:
    """Return a run that breaks the same promise by a plan from which nothing more can be taken away."""
    best, size = found, max(1, len(found.plan) // 2)
    while size:
        shorter = _without_runs_of(size, best, make)
        size = size // 2 if shorter is best or size > 1 else size
        best = shorter
    # Some things only matter to each other, such as a pause and its end: neither goes alone.
    places = list(itertools.combinations(range(len(best.plan)), 2))
    for pair in places:
        tried = run(best.seed, [each for place, each in enumerate(best.plan) if place not in pair], make)
        if tried.promise == found.promise:
            return shrink(tried, make)
    return best


def _without_runs_of(size: int, best: Run, make: Callable[[], Database]) -> Run:
    """Take away so many actions in a row wherever the promise is broken without them, too."""
    place = 0
    while place < len(best.plan):
        tried = run(best.seed, best.plan[:place] + best.plan[place + size :], make)
        if tried.promise == best.promise:
            best = tried
        else:
            place += size
    return best


def story(found: Run) -> str:
    """Tell a run to people: what was laid down, what happened, and what it broke."""
    plan = ", ".join(map(str, found.plan)) or "nothing"
    return "\n".join([f"seed {found.seed}; plan: {plan}", *found.told, f"BROKEN  {found.broken}"])

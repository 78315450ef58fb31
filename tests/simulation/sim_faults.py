"""What goes wrong in a simulated world."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from sim_process import LEASE_S, Process, SimWorker, Trap

from mulligan.core.errors import StoreBusy, StoreError, StoreUnsure

if TYPE_CHECKING:
    from sim_world import World


class Faults:
    """Kills processes, has the store fail for them, sets their clocks, and lets others come between two of their transactions."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.actions: dict[str, Callable[[random.Random], None]] = {
            each.__name__: each
            for each in (
                self.kill, self.kill_in_call, self.come_between, self.stop_worker, self.stand_still, self.busy,
                self.fail_before_commit, self.lose_answer, self.away, self.jump, self.skew, self.restart_server,
            )
        }  # fmt: skip

    def kill(self, dice: random.Random) -> None:
        """Kill a worker between two of its steps."""
        worker = self._some_worker(dice)
        if worker is not None:
            self._world.tell(f"{worker.name} is killed")
            worker.die()

    def kill_in_call(self, dice: random.Random) -> None:
        """Kill a process in the middle of one of its next transactions."""
        process = self._some_process(dice)
        self._trap(process, dice, process.link.kill, "begin", "before commit", "after commit")

    def come_between(self, dice: random.Random) -> None:
        """Let others do things between two of the next transactions of a process."""
        process = self._some_process(dice)
        between = random.Random(dice.randrange(1 << 30))
        self._trap(process, dice, lambda: self._world.come_between(process, between), "begin", "read")

    def stop_worker(self, dice: random.Random) -> None:
        """Ask a worker to stop, a step further each time."""
        worker = self._some_worker(dice)
        if worker is not None and worker.begun:
            self._world.tell(f"{worker.name} is asked to stop")
            worker.asked_to_stop += 1
            worker.worker.stop()

    def stand_still(self, dice: random.Random) -> None:
        """Have a process stand still for a while, perhaps longer than its lease."""
        process = dice.choice(self._world.processes() or [self._world.server])
        seconds = dice.choice([1.0, LEASE_S, 3 * LEASE_S])
        self._world.tell(f"{process.name} stands still for {seconds:g} s")
        process.resumes_at = self._world.time.passed + seconds

    def busy(self, dice: random.Random) -> None:
        """Have somebody hold the store for too long."""
        self._fail(dice, StoreBusy("held by somebody"), "begin")

    def fail_before_commit(self, dice: random.Random) -> None:
        """Have a commit fail."""
        self._fail(dice, StoreError("it broke"), "before commit")

    def lose_answer(self, dice: random.Random) -> None:
        """Have the answer to a commit lost."""
        self._fail(dice, StoreUnsure("no answer"), "after commit")

    def away(self, dice: random.Random) -> None:
        """Have the store away for a process, perhaps longer than its lease."""
        process = self._some_process(dice)
        seconds = dice.choice([0.5, 3.0, 2 * LEASE_S])
        self._world.tell(f"the store is away for {process.name}, for {seconds:g} s")
        process.link.away_until = self._world.time.passed + seconds

    def jump(self, dice: random.Random) -> None:
        """Set the clocks on all walls."""
        seconds = dice.choice([-600, -60, 60, 600])
        self._world.tell(f"clocks are set by {seconds} s")
        self._world.time.wall_ms += seconds * 1000

    def skew(self, dice: random.Random) -> None:
        """Have one process believe in another time."""
        process = self._some_process(dice)
        process.clock.skew_ms = dice.choice([-600_000, -5_000, 0, 0, 5_000, 600_000])
        self._world.tell(f"the clock of {process.name} is {process.clock.skew_ms / 1000:g} s off")

    def restart_server(self, dice: random.Random) -> None:
        """Kill the server, and start another."""
        self._world.restart_server()

    def _fail(self, dice: random.Random, error: StoreError, point: str) -> None:
        def fail() -> None:
            raise error

        self._trap(self._some_process(dice), dice, fail, point)

    def _trap(self, process: Process, dice: random.Random, spring: Callable[[], None], *points: str) -> None:
        process.link.traps.append(Trap(dice.choice(points), dice.randint(0, 3), spring))

    def _some_worker(self, dice: random.Random) -> SimWorker | None:
        there = [each for each in self._world.workers if each.alive]
        return dice.choice(there) if there else None

    def _some_process(self, dice: random.Random) -> Process:
        return dice.choice([*self._world.processes(), *self._world.people.operators])

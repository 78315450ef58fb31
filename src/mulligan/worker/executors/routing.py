"""Two executors as one: workflows go to the one that runs bodies, everything else to the one that runs processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mulligan.core.attempt import StopCause
from mulligan.core.replay import Past
from mulligan.worker.executors.interface import Assignment, Executor, Report


class RoutingExecutor:
    """Implements `interface.Executor`; attempts have ids that are unique in both."""

    def __init__(self, processes: Executor, bodies: Executor, is_workflow: Callable[[str], bool]) -> None:
        self._processes = processes
        self._bodies = bodies
        self._is_workflow = is_workflow
        self._in_bodies: set[int] = set()

    @property
    def trouble(self) -> str | None:
        """Why nothing more can be run here, or None."""
        return self._processes.trouble or self._bodies.trouble

    def room(self, asynchronous: bool = False) -> int:
        """Return how many more attempts of tasks could start at once."""
        return self._processes.room(asynchronous)

    def slots_for(self, task: str) -> int:
        """Return how many more attempts of this task could start at once."""
        return self._of(task).slots_for(task)

    def room_for(self, task: str) -> int:
        """Return how many more attempts of this task should be taken now."""
        return self._of(task).room_for(task)

    def start(self, batch: Sequence[Assignment]) -> None:
        """Take these attempts."""
        bodies = [each for each in batch if self._is_workflow(each.task)]
        if bodies:
            self._in_bodies.update(each.id for each in bodies)
            self._bodies.start(bodies)
            batch = [each for each in batch if not self._is_workflow(each.task)]
        if batch:
            self._processes.start(batch)

    def stop(self, id: int, cause: StopCause) -> None:
        """Ask an attempt to stop."""
        self._with(id).stop(id, cause)

    def answer(self, id: int, call: int, value: str | None, error: str | None) -> None:
        """Answer a Call."""
        self._with(id).answer(id, call, value, error)

    def arrived(self, id: int, call: Past) -> None:
        """Tell the body of a workflow that a call has ended."""
        self._bodies.arrived(id, call)

    def files(self) -> Sequence[int]:
        """Return the file descriptors of both."""
        return (*self._processes.files(), *self._bodies.files())

    def poll(self) -> list[Report]:
        """Return what happened in either."""
        return self._processes.poll() + self._bodies.poll()

    def deadline(self) -> float | None:
        """Return when `poll` must be called at the latest, or None."""
        return min((each for each in (self._processes.deadline(), self._bodies.deadline()) if each is not None), default=None)

    def close(self) -> None:
        """End both; safe to call twice."""
        self._bodies.close()
        self._processes.close()

    def _of(self, task: str) -> Executor:
        return self._bodies if self._is_workflow(task) else self._processes

    def _with(self, id: int) -> Executor:
        return self._bodies if id in self._in_bodies else self._processes

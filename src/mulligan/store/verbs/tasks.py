"""Verbs on published tasks."""

from __future__ import annotations

from typing import NamedTuple

from mulligan.core.errors import NotFound
from mulligan.store.interface import Run, one
from mulligan.store.rows import TaskRow


class PublishedRow(NamedTuple):
    """A task, the newest of its definitions, and the one that was asked for; None where it is not published."""

    task: int
    module: str
    newest: int | None
    definition: int | None


class Tasks:
    """Publishing, pausing and reading tasks."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def find(self, namespace: str, name: str) -> TaskRow | None:
        """Return a task by its name, or None."""
        row = one(self._run("find_task", {"namespace": namespace, "name": name}))
        return TaskRow(row[0], name, *row[1:]) if row else None

    def published(self, namespace: str, name: str, digest: str) -> PublishedRow | None:
        """Return a task by its name, with the definition of a digest, or None."""
        row = one(self._run("find_published", {"namespace": namespace, "name": name, "digest": digest}))
        return PublishedRow(*row) if row else None

    def by_id(self, id: int) -> TaskRow | None:
        """Return a task by its id, or None."""
        row = one(self._run("find_task_by_id", {"id": id}))
        return TaskRow(*row) if row else None

    def all(self, namespace: str) -> list[TaskRow]:
        """Return all tasks of a namespace by name."""
        return [TaskRow(*row) for row in self._run("list_tasks", {"namespace": namespace})]

    def add(self, namespace: str, name: str, module: str) -> TaskRow:
        """Add a task unless its name is there already; returns the row of that name."""
        found = self.find(namespace, name)
        if found is None:
            self._run("add_task", {"namespace": namespace, "name": name, "module": module})
            found = self.find(namespace, name)
        assert found is not None  # noqa: S101 - it was inserted or was there
        return found

    def add_definition(self, task: int, digest: str, body: str, now_ms: int) -> int:
        """Add a definition unless the same is there already; returns its id."""
        where = {"task": task, "digest": digest}
        found = one(self._run("find_definition", where))
        if found is None:
            self._run("add_definition", {**where, "body": body, "now": now_ms})
            found = one(self._run("find_definition", where))
        assert found is not None  # noqa: S101 - it was inserted or was there
        return int(found[0])

    def definition(self, id: int) -> str | None:
        """Return the body of a definition as JSON."""
        row = one(self._run("read_definition", {"id": id}))
        return row[1] if row else None

    def current(self, task: int) -> int:
        """Return the newest definition of a task."""
        row = one(self._run("current_definition", {"task": task}))
        if row is None or row[0] is None:
            raise NotFound(f"task {task} is not published")
        return int(row[0])

    def set_current(self, task: int, definition: int) -> None:
        """Make a definition the one that new generations run under."""
        self._run("set_current_definition", {"task": task, "definition": definition})

    def lock(self, task: int) -> None:
        """Let nobody else who asks for this lock decide about a task until the transaction ends."""
        self._run("lock_task", {"task": task})

    def set_paused(self, task: int, paused_ms: int | None) -> None:
        """Pause a task from a moment on, or resume it with None."""
        self._run("set_paused", {"task": task, "paused_ms": paused_ms})

    def with_workers(self) -> set[int]:
        """Return the tasks that a living worker has loaded."""
        return {row[0] for row in self._run("tasks_with_workers", {})}

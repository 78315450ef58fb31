"""What was declared with `@task`: a function and its options, and what is found out about them when first needed."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mulligan.core.definition import Definition
from mulligan.core.errors import TaskError
from mulligan.core.job import FailureClass
from mulligan.sdk.options import TaskOptions

if TYPE_CHECKING:
    from mulligan.sdk.signature import Signature


class Declared:
    """A function and the options it was declared with."""

    def __init__(self, fn: Callable[..., Any], options: TaskOptions) -> None:
        self.fn = fn
        self.options = options

    @property
    def owner(self) -> str:
        """How errors call it."""
        return f"{'workflow' if self.options.executor == 'workflow' else 'task'} {self.options.name!r}"

    @cached_property
    def signature(self) -> Signature:
        """The parameters and their checks, read from the type hints; raises TaskError."""
        from mulligan.sdk.signature import Signature

        if inspect.isgeneratorfunction(self.fn) or inspect.isasyncgenfunction(self.fn):
            raise TaskError(f"{self.owner}: a generator cannot be a task; return a value instead of yielding")
        return Signature(self.fn, self.owner)

    @cached_property
    def rules(self) -> tuple[tuple[str, FailureClass], ...]:
        """The task's own rules as data."""
        from mulligan.sdk.signature import qualified_name

        return tuple((each if isinstance(each, str) else qualified_name(each), to) for each, to in self.options.rules)

    @cached_property
    def definition(self) -> Definition:
        """What is published; raises TaskError."""
        from mulligan.sdk.digest import code_digest, source_file
        from mulligan.sdk.signature import public_module

        options, signature, file = self.options, self.signature, source_file(self.fn)
        return Definition(
            name=options.name,
            module=public_module(self.fn.__module__),
            file=None if file is None else str(file),
            policy=options.policy,
            timeout_s=options.timeout_s,
            total_timeout_s=options.total_timeout_s,
            heartbeat_timeout_s=options.heartbeat_timeout_s,
            offline=options.offline,
            online=options.online,
            idempotent=options.idempotent,
            uses=options.uses,
            classify=self.rules,
            concurrency=options.concurrency,
            priority=options.priority,
            executor=options.executor,
            memory_bytes=options.memory_bytes,
            context=signature.context,
            window=signature.window,
            parameters=signature.arguments.schema,
            code_digest=code_digest(self.fn),
            runbook=options.runbook,
        )

    @cached_property
    def unloadable(self) -> str | None:
        """Why no worker could load the function, or None."""
        from mulligan.sdk.digest import source_file

        name = self.fn.__qualname__
        if "<lambda>" in name:
            return "is a lambda, which workers cannot find; write it as a function at the top of a module"
        if "<locals>" in name:
            return f"is defined inside a function ({name}), where workers cannot find it; move it to the top of its module"
        if "." in name:
            return f"is a method ({name}); write it as a function at the top of a module"
        if source_file(self.fn) is None:
            return (
                "was typed in at a prompt or in a notebook, where workers cannot load it; "
                "put it in a file, import it from there, and start a worker with that file"
            )
        module = sys.modules.get(self.fn.__module__)
        if not any(getattr(value, "declared", None) is self for value in list(vars(module).values())):
            return f"has no name in module {self.fn.__module__}; assign what task(…) returned to one at its top"
        return None

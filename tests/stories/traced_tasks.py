"""Tasks that say in which span they run."""

from __future__ import annotations

import os

from opentelemetry import trace
from story_tasks import leave, wait_for

from mulligan import Context, task, workflow


def span_here() -> str:
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}-{context.span_id:016x}"


@task(retries=(1, 0.05))
def flaky(file: str) -> None:
    leave(file, span_here())
    if len(open(file).read().splitlines()) == 1:  # noqa: PTH123, SIM115
        raise ConnectionError(f"the other side hung up on {os.environ['TRACED_SECRET']}")


@task
async def eventually(file: str) -> None:
    leave(file, span_here())


@task(retries=1)
def held(file: str, go: str) -> None:
    leave(file, span_here())
    wait_for(go)


@task
def submits(ctx: Context, file: str) -> None:
    leave(file, span_here())
    eventually.submit(file)


@workflow
def calls(file: str) -> None:
    leave(file, span_here())
    eventually(file)

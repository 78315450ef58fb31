"""Tasks that the tests of servers run."""

from __future__ import annotations

from pathlib import Path

from mulligan import Context, PermanentError, Window, task


@task
def add(a: int, b: int = 2) -> int:
    print(f"adding {a} and {b}")
    return a + b


@task(retries=(2, 300), offline=True, online=True)
def features(ctx: Context, window: Window, fixed: str) -> int:
    """Compute the features of a day; those of the 5th need a file to be there."""
    print(f"features of {window.key}")
    if window.key.endswith("-05") and not Path(fixed).exists():
        raise PermanentError(f"a column is missing on {window.key}")
    ctx.output(rows=3)
    return 3

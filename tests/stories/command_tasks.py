"""Tasks that run programs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mulligan import PERMANENT, RATE_LIMITED, TRANSIENT, CommandFailed, Context, Policy, Retry, task

QUICK = Policy({(TRANSIENT, RATE_LIMITED): Retry(max_attempts=3)})
REMOTE = "import sys, time; print('submitted job-77', flush=True); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


@task(retries=QUICK, classify={44: RATE_LIMITED})
def ends_with(ctx: Context, code: int) -> str:
    text = f"import sys; print('to stdout'); print('to stderr', file=sys.stderr); sys.exit({code})"
    return ctx.run(python(text), exit_codes={75: PERMANENT, 9: TRANSIENT}).stdout


@task
def submits_elsewhere(ctx: Context, cancelled: str) -> None:
    def cancel(said: str) -> None:
        Path(cancelled).write_text(" ".join(re.findall(r"job-\d+", said)))

    ctx.run(python(REMOTE), on_stop=cancel)


@task(timeout=1)
def too_long(ctx: Context, cancelled: str) -> None:
    submits_elsewhere.fn(ctx, cancelled)


@task
def stubborn(ctx: Context) -> None:
    ctx.run(python(STUBBORN))


@task
async def awaits(ctx: Context, name: str) -> str:
    done = await ctx.run(python(f"print('hello {name}')"))
    return done.stdout


@task
async def awaits_long(ctx: Context, cancelled: str) -> None:
    await ctx.run(python(REMOTE), on_stop=lambda said: Path(cancelled).write_text(said))


@task
def catches(ctx: Context) -> int:
    try:
        ctx.run(["false"])
    except CommandFailed as failed:
        return failed.exit_code
    return 0

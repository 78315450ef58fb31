"""Tasks that publish artifacts, and are killed while they do."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from mulligan import BATCH, Artifact, Context, task
from mulligan.sdk import places

STEPS = ("stage", "create_manifest", "replace_manifest", "drop", "move")
DEATHS = ["nowhere", *(f"{when} {step}" for step in STEPS for when in ("before", "after")), "after clear"]


@task(retries=BATCH, offline=True, online=False)
def publish(ctx: Context, death: str) -> Artifact:
    """Publish something that no other attempt would; the first attempt of each generation dies where it is told to."""
    if ctx.attempt == 1:
        die(death)
    with ctx.artifact("models/{run_id}/{key}/model.bin") as a:
        if not a.exists:
            a.path.write_text(f"{ctx.generation}/{ctx.attempt} {os.urandom(8).hex()}")
    return a.artifact


@task
def build(ctx: Context, fail: str) -> str:
    """Make something in a step, then fail as long as a file is there."""
    made = ctx.step(text_file, ctx.run_id)
    if Path(fail).exists():
        raise RuntimeError("not yet")
    with made.open() as file:
        return file.read().decode()


def text_file(run_id: str) -> Artifact:
    path = Path(os.environ["STORY"], f"made-{run_id}")
    with path.open("x") as file:
        file.write(f"by {os.getpid()}")
    with path.open("rb") as made:
        return Artifact(path.as_uri(), *places.content_of(made))


def die(death: str) -> None:
    """Have this process killed before or after it does something to a place, with no word of warning."""
    when, _, what = death.partition(" ")
    for kind in (places.LocalPlace, places.ObjectPlace):
        if what:
            setattr(kind, what, _deadly(getattr(kind, what), when))


def _deadly(real: Any, when: str) -> Any:
    def wrapped(*args: Any) -> Any:
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        real(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    return wrapped

"""Loaded beside the example of retraining: kills its process at several points, at each of them once in a run."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import retraining

from mulligan import task
from mulligan.sdk import places

vars(retraining)["int"] = int
POINTS: list[tuple[Any, str]] = [
    (retraining.joblib, "dump"),
    (places.LocalPlace, "create_manifest"),
    (retraining.joblib, "load"),
    (retraining, "int"),  # called when the registry has committed, and nobody knows of it yet
]


@task
def nothing() -> None:
    """A worker loads files for their tasks."""


def deadly(name: str, real: Any) -> Any:
    def wrapped(*args: Any, **options: Any) -> Any:
        done = real(*args, **options)
        mark = Path(os.environ["STORY"], f"died-after-{name}")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    return wrapped


for owner, name in POINTS:
    setattr(owner, name, deadly(name, getattr(owner, name)))

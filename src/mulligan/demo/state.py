"""What the demo remembers from run to run, so that an interrupted one goes on where it was."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mulligan.demo.processes import DemoFailed


@dataclass(slots=True)
class State:
    """How far the story has been told; counts of killed processes and seconds are over all its runs."""

    seed: int
    days: int = 365
    store: str = ""
    """Where its store is, in words and without a password; empty: in the folder."""
    namespace: str = "default"
    """On a server each run that was started anew has a namespace of its own: there nothing is ever removed."""
    troubles: int = 0
    children_killed: int = 0
    workers_killed: int = 0
    asked_before: dict[str, int] = field(default_factory=dict)
    """Requests for each object of the bad days before they were recovered."""
    asked_after: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    served: int = 0
    recovered: bool = False
    left: bool = False
    """Whether the bad days were left to a person (`--stay`)."""
    trainer_killed: bool = False
    retrained: str = ""
    """What came of the retraining, in a line."""
    finished: bool = False
    wall_s: float = 0.0

    @classmethod
    def load(cls, path: Path, seed: int, days: int = 365, store: str = "") -> State:
        """Read what was saved, or start anew; raises DemoFailed where the folder belongs to another story."""
        try:
            state = cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return cls(seed, days, store, f"demo-{uuid.uuid4().hex[:8]}" if store else "default")
        except (ValueError, TypeError) as error:
            raise DemoFailed(f"{path} cannot be read ({error}): start over with --fresh") from error
        if state.seed != seed:
            raise DemoFailed(f"the run in {path.parent} has the seed {state.seed}, not {seed}: give that one, or --fresh")
        if state.days != days:
            raise DemoFailed(f"the run in {path.parent} has {state.days} days, not {days}: give that many, or --fresh")
        if state.store != store:
            there, here = state.store or "SQLite in its folder", store or "SQLite in its folder"
            raise DemoFailed(
                f"the run in {path.parent} is on {there}, not on {here}: name that one, another --folder, or --fresh"
            )
        return state

    def save(self, path: Path) -> None:
        """Write it, all or nothing."""
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(asdict(self)), encoding="utf-8")
        unfinished.replace(path)

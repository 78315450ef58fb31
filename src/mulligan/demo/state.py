"""What the demo remembers from run to run, so that an interrupted one goes on where it was."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mulligan.demo.processes import DemoFailed


@dataclass(slots=True)
class State:
    """How far the story has been told; counts of killed processes and seconds are over all its runs."""

    seed: int
    troubles: int = 0
    children_killed: int = 0
    workers_killed: int = 0
    asked_before: dict[str, int] = field(default_factory=dict)
    """Requests for each object of the bad days before they were recovered."""
    asked_after: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    served: int = 0
    recovered: bool = False
    finished: bool = False
    wall_s: float = 0.0

    @classmethod
    def load(cls, path: Path, seed: int) -> State:
        """Read what was saved, or start anew; raises DemoFailed where the folder belongs to another story."""
        try:
            state = cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return cls(seed)
        except (ValueError, TypeError) as error:
            raise DemoFailed(f"{path} cannot be read ({error}): start over with --fresh") from error
        if state.seed != seed:
            raise DemoFailed(f"the run in {path.parent} has the seed {state.seed}, not {seed}: give that one, or --fresh")
        return state

    def save(self, path: Path) -> None:
        """Write it, all or nothing."""
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(asdict(self)), encoding="utf-8")
        unfinished.replace(path)

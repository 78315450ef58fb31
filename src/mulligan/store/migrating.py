"""The numbered migrations of each dialect: SQL files that are never edited once they were released."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import NamedTuple

_CONTRACT = "-- contract:"


class Migration(NamedTuple):
    """One step of the schema. What only adds (expand) lets older code go on; what takes away says the oldest that it allows."""

    number: int
    name: str
    script: str

    @property
    def oldest(self) -> int | None:
        """The oldest schema that code may know to run on this one, where the step takes something away: `-- contract: N`."""
        for line in self.script.splitlines():
            if line.startswith(_CONTRACT):
                return int(line.removeprefix(_CONTRACT))
        return None


class Migrated(NamedTuple):
    """The version of a schema before and after it was brought up to date; 0 where there was none."""

    before: int
    after: int


def migrations(dialect: str) -> list[Migration]:
    """Return the migrations of a dialect in their order."""
    pattern = re.compile(rf"(\d{{4}})_(\w+)\.{dialect}\.sql")
    scripts = (files("mulligan.store") / "migrations").iterdir()
    named = ((pattern.fullmatch(each.name), each) for each in scripts)
    return sorted(Migration(int(match[1]), match[2], each.read_text("utf-8")) for match, each in named if match)

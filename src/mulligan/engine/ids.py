"""Ids as users write them, read back to the keys of the store."""

from __future__ import annotations

from mulligan.core.errors import NotFound
from mulligan.core.job import ItemKey
from mulligan.core.shown import shown


def parse_job_id(id: str | int) -> int:
    """Return the number of a job id; raises NotFound, since what is no id names nothing."""
    text = id if isinstance(id, str) else shown(id)
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    raise NotFound(f"there is no job {shown(id)}: a job's id is a number such as 12")


def parse_item_id(id: str) -> ItemKey:
    """Return the key of a work item's id; raises NotFound, since what is no id names nothing."""
    parts = (id if isinstance(id, str) else shown(id)).split("-")
    if len(parts) == 2 and all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        return ItemKey(int(parts[0]), int(parts[1]))
    raise NotFound(f"there is no work item {shown(id)}: a work item's id is its job's and its number, such as 12-345")

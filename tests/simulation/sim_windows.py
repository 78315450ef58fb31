"""What must hold between work items: one at a time for each window, backfills of what is missing, overwriting in order."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping

from mulligan.core.job import TERMINAL, Item, ItemKey, JobStatus

Window = tuple[str, int]


class Windows:
    """Which work item is for which window of which task, also of those that are gone."""

    def __init__(self) -> None:
        self._of: dict[ItemKey, Window] = {}
        self._items: Mapping[ItemKey, Item] = {}
        self._done: set[Window] = set()
        """Windows that had succeeded when retention took their items."""
        self._after: dict[tuple[ItemKey, int], tuple[ItemKey, int]] = {}
        """Items in a generation that must come after others in theirs."""

    def learn(self, found: Iterable[tuple[ItemKey, Window]]) -> None:
        """Take note of the windows of new items."""
        self._of.update(found)

    def taken(self, task: str) -> set[int]:
        """Return the windows of a task that have succeeded or are in flight."""
        there = {key for key, item in self._items.items() if item.status not in (JobStatus.FAILURE, JobStatus.REVOKED)}
        found = {self._of[key] for key in there if key in self._of} | self._done
        return {start for name, start in found if name == task}

    def of_job(self, job: int) -> set[int]:
        """Return the windows of a job."""
        return {start for key, (_, start) in self._of.items() if key.job == job}

    def wrong_missing(self, job: int, wanted: set[int]) -> str | None:
        """Say what is wrong with a backfill of what was missing."""
        given = self.of_job(job)
        return None if given == wanted else f"job {job} was to run windows {sorted(wanted)}, and runs {sorted(given)}"

    def committed(self, items: Mapping[ItemKey, Item]) -> str | None:
        """Take note of what is there now; say which window would run twice at once."""
        self._done |= {
            self._of[key]
            for key, item in self._items.items()
            if key not in items and key in self._of and item.status is JobStatus.SUCCESS
        }
        self._items = items
        flying = Counter(self._of[key] for key, item in items.items() if key in self._of and item.status not in TERMINAL)
        twice = [window for window, count in flying.items() if count > 1]
        return f"window {twice[0][1]} of {twice[0][0]} is in flight twice at once" if twice else None

    def put_in_order(self, begun: Iterable[Item]) -> None:
        """Take note of items that were begun again in one go, each to come after the one for the window before."""
        places = sorted((each for each in begun if each.key in self._of), key=lambda each: (self._of[each.key][1], each.key))
        for first, second in itertools.pairwise(places):
            self._after[second.key, second.generation] = (first.key, first.generation)

    def wrong_order(self, claimed: Item) -> str | None:
        """Say which item a claimed one should have waited for."""
        first, generation = self._after.get((claimed.key, claimed.generation), (None, 0))
        before = self._items.get(first) if first is not None else None
        if before is None or before.generation > generation or before.status is JobStatus.SUCCESS:
            return None
        return f"{claimed.key} was claimed before {first}, which comes before it, had succeeded: it is {before.status}"

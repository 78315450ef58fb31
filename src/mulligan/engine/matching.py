"""Finds the work items that a target stands for: named one by one, of a job, or all that match a filter; a page at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mulligan.core.errors import Refused
from mulligan.core.events import RetryMode
from mulligan.core.job import ItemKey, JobStatus
from mulligan.engine.asking import Target
from mulligan.engine.calling import root_of
from mulligan.engine.finding import check_details
from mulligan.store.store import Session, Store

PAGE = 2_000
"""Work items that are done something to in one transaction."""


class Found(NamedTuple):
    """A page of work items, the generation in which each was seen, and whether it is the last page."""

    keys: list[ItemKey]
    generations: dict[ItemKey, int]
    last: bool


class Matching:
    """Finds work items in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def pages(self, target: Target) -> Iterator[Found]:
        """Yield the keys that a target stands for; raises NotFound for a job that is not there, or whose details are gone."""
        if target.items:
            seen = dict(zip(target.items, target.generations, strict=False))
            keys = list(dict.fromkeys(target.items))
            for start in range(0, len(keys), PAGE):
                yield Found(keys[start : start + PAGE], seen, start + PAGE >= len(keys))
            return
        filters = dict(target.filters or {})
        if target.job is not None:
            filters["job"] = target.job
            with self._store.read() as session:
                check_details(session, target.job)
        after: ItemKey | None = None
        while True:
            found = self._store.listing.keys({**filters, "after": after}, PAGE)
            last = len(found) < PAGE
            yield Found(list(found), found, last)
            if last:
                return
            after = max(found)

    def pages_in_order(self, target: Target) -> Iterator[Found]:
        """Yield first, all at once, what was put in order: else one could start before what it comes after is wanted."""
        first = self.in_order(target)
        if first:
            yield Found(list(first), first, last=False)
        for page, generations, last in self.pages(target):
            yield Found([key for key in page if key not in first], generations, last)

    def in_order(self, target: Target) -> dict[ItemKey, int]:
        """Return what a target stands for of all that was put in order once and did not succeed."""
        with self._store.read() as session:
            ordered = session.records.in_order_unsuccessful()
        return self.among(target, ordered)

    def among(self, target: Target, keys: Sequence[ItemKey]) -> dict[ItemKey, int]:
        """Return those of some items that a target stands for, with the generation each was seen in."""
        seen = dict(itertools.zip_longest(target.items, target.generations[: len(target.items)]))
        if target.items:
            with self._store.read() as session:
                items = session.items.read(key for key in keys if key in seen)
            return {item.key: item.generation if seen[item.key] is None else seen[item.key] for item in items}
        filters = dict(target.filters or {}) | ({} if target.job is None else {"job": target.job})
        named = filters.pop("ids", None)
        keys = keys if named is None else sorted(set(keys) & {ItemKey(*each) for each in named})
        listing = self._store.listing
        pages = (listing.keys({**filters, "ids": keys[at : at + PAGE]}, PAGE) for at in range(0, len(keys), PAGE))
        return {key: generation for page in pages for key, generation in page.items()}

    def with_roots(self, target: Target, mode: RetryMode) -> Target:
        """Return a target in which the workflow stands for each call of it: its body has to go on with what comes of the call.

        Raises Refused where that workflow succeeded, or where a call alone is to be restarted.
        """
        target = self._with_calls_named(target)
        if not target.items:
            return target
        with self._store.read() as session:
            called = _called(session, target.items)
            if not called:
                return target
            roots = {key: called.get(key, key) for key in target.items}
            there = {item.key: item for item in session.items.read(set(roots.values()))}
        for key, root in called.items():
            if mode == "restart":
                raise Refused(f"work item {key} is a call of workflow {root} and not restarted by itself: restart {root}")
            if root in there and there[root].status is JobStatus.SUCCESS:
                raise Refused(f"work item {key} is a call of workflow {root}, which succeeded: to run it again, overwrite {root}")
        seen = dict(zip(target.items, target.generations, strict=False))
        items = tuple(dict.fromkeys(roots.values()))
        generations = tuple(seen.get(key, there[key].generation) for key in items if key in seen or key in there)
        return Target(items=items, generations=generations if target.generations else ())

    def refuse_calls(self, target: Target) -> None:
        """Raise Refused where calls of workflows are to be overwritten by themselves."""
        keys = self._with_calls_named(target).items
        with self._store.read() as session:
            for key, root in _called(session, keys).items():
                raise Refused(f"work item {key} is a call of workflow {root}: overwrite {root}, with all that it calls")

    def _with_calls_named(self, target: Target) -> Target:
        """Return a target that names its work items one by one where a job or a filter stands for calls of workflows."""
        filters = {"job": target.job, **(target.filters or {})}
        jobs = {job for job, *_ in filters.get("ids") or ()} | ({filters["job"]} - {None})
        with self._store.read() as session:
            if target.items or (filters.get("parent") is None and not session.calls.which(jobs)):
                return target
        found = {key: generation for _, page, _ in self.pages(target) for key, generation in page.items()}
        return Target(items=tuple(found), generations=tuple(found.values()))


def in_window_order(session: Session, keys: Sequence[ItemKey]) -> list[ItemKey]:
    """Add the later windows that were written since, and put all of them in the order of their windows; raises Refused."""
    starts = {key: window[0] for key, window in session.windows.of(keys).items()}
    if not starts:
        raise Refused("forward=True needs work items that have a window")
    first = min(starts, key=lambda key: starts[key])
    item = session.items.read([first])[0]
    later = session.windows.later_written(item.task, starts[first], item.ended_ms or 0, 1_000_000)
    every = list(dict.fromkeys([*keys, *(key for key, _ in later)]))
    there = {item.key for item in session.items.read(every)}
    gone = [name for key, name in later if key not in there]
    if gone:
        raise Refused(
            f"{len(gone)} later windows were written since whose details retention has removed, {gone[0]} the first of them: "
            "they cannot be run again in this order. Submit them with a backfill of only='all', or leave out forward=True"
        )
    places = {key: window[0] for key, window in session.windows.of(every).items()}
    return sorted(every, key=lambda key: (places.get(key, 0), key))


def _called(session: Session, keys: Sequence[ItemKey]) -> dict[ItemKey, ItemKey]:
    """Return those of some items that are calls, each with the workflow at its top."""
    jobs = session.calls.which({key.job for key in keys}) if keys else set()
    roots = {job: root_of(session, ItemKey(job, 0)) for job in sorted(jobs)}  # all calls of a job are of one body
    return {key: roots[key.job] for key in keys if key.job in jobs}

"""Actions on several jobs or work items that were selected on a page."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable
from typing import Annotated

from fastapi import Query, Request, Response

from mulligan.api.access import Caller, Routes
from mulligan.api.browsers import form_of
from mulligan.api.models import Done
from mulligan.console.desk import Desk
from mulligan.console.pages.acting import MODES, Calling, field, verb_of
from mulligan.console.verbs import RETRY, Toast, Verb
from mulligan.console.words import left_alone
from mulligan.core.access import Principal, Role
from mulligan.core.errors import ArgumentsInvalid, MulliganError

MOST = 500
ROWS = 50
Ids = Annotated[list[str] | None, Query(max_length=MOST)]


class ManyPages:
    """The question before an action on what was selected, and the action."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._calling = Calling(desk)

    def add_to(self, routes: Routes) -> None:
        """Register the pages."""
        self._desk.get(routes, "/rows", Role.VIEWER, self.rows)
        self._desk.get(routes, "/selected/{verb}", Role.OPERATOR, self.ask)
        self._desk.post(routes, "/selected/{verb}", Role.OPERATOR, self.do)

    def rows(self, request: Request, caller: Caller, job: Ids = None, item: Ids = None) -> Response:
        """Return rows of tables as they are now, for a page on which they stand although its list has moved on."""
        jobs = [self._desk.jobs.get_job(caller, each) for each in (job or [])[:ROWS]]
        briefs = self._desk.summary.get_briefs(caller, [each.id for each in jobs]) if jobs else {}
        items = [self._desk.items.get_work_item(caller, each) for each in (item or [])[:ROWS]]
        return self._desk.page(request, caller, "rows.html", jobs=jobs, briefs=briefs, items=items)

    def ask(self, request: Request, caller: Caller, verb: str, job: Ids = None, item: Ids = None) -> Response:
        """Show what would be done to what was selected, and ask."""
        asked = verb_of(verb)
        kind, ids = _one_kind(job or [], item or [])
        plans = {}
        for mode in MODES if asked is RETRY else ("",):
            plans[mode] = _sum(self._each(request, caller, kind, ids, asked, mode, dry_run=True))
        return self._desk.page(
            request, caller, "ask_many.html", verb=asked, kind=kind, ids=ids, plans=plans, operation=secrets.token_urlsafe(18)
        )

    def do(self, request: Request, caller: Caller, verb: str) -> Response:
        """Do it to each, and say what came of it."""
        asked, fields = verb_of(verb), form_of(request)
        kind, ids = _one_kind(fields.get("job", []), fields.get("item", []))
        mode = (field(request, "type") or "recover") if asked is RETRY else ""
        done = _sum(self._each(request, caller, kind, ids, asked, mode, dry_run=False))
        what = f"{len(ids):,} {'jobs' if kind == 'jobs' else 'work items'}"
        text = (
            f"{asked.done} {done.total:,} work items{f' ({mode})' if mode else ''}."
            if done.total
            else f"{asked.nothing}: {what}."
        )
        return self._calling.after(
            request, caller, Toast(text, "", (*left_alone(done), *done.warnings), went_wrong=not done.total), f"/{kind}"
        )

    def _each(
        self, request: Request, caller: Principal, kind: str, ids: list[str], verb: Verb, mode: str, *, dry_run: bool
    ) -> Iterable[Done]:
        for each in ids:
            try:
                yield self._calling.call(request, caller, kind, each, verb, mode, dry_run=dry_run)
            except MulliganError as error:
                yield Done(total=0, left_alone={f"{error.code}: {error}": 1})


def _one_kind(jobs: list[str], items: list[str]) -> tuple[str, list[str]]:
    if bool(jobs) == bool(items):
        raise ArgumentsInvalid("select some jobs, or some work items, and not both")
    ids = list(dict.fromkeys(jobs or items))
    if len(ids) > MOST:
        raise ArgumentsInvalid(f"{len(ids):,} are selected: {MOST} at most; use a filter for more")
    return ("jobs", ids) if jobs else ("work-items", ids)


def _sum(parts: Iterable[Done]) -> Done:
    total, unsafe, skipped = 0, 0, Counter[str]()
    examples: list[str] = []
    warnings: dict[str, None] = {}
    for each in parts:
        total, unsafe = total + each.total, unsafe + each.unsafe_total
        skipped.update(each.left_alone)
        examples += each.examples[: 5 - len(examples)]
        warnings.update(dict.fromkeys(each.warnings))
    return Done(total=total, examples=examples, left_alone=dict(skipped), warnings=list(warnings)[:5], unsafe_total=unsafe)

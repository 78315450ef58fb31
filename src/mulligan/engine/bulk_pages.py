"""What a bulk operation does, or would do, to its work items: a page in each transaction, together with how far it has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from mulligan.core.bulk import BulkAction, BulkState, next_due_ms, next_size
from mulligan.core.errors import MulliganError, StoreBusy, StoreError
from mulligan.core.events import RetryMode
from mulligan.core.job import Item, ItemKey
from mulligan.engine.asking import EXAMPLES, Asker, Plan, line
from mulligan.engine.bulk import CUT_OFF, Bulk, BulkWanted, unsafe_of
from mulligan.engine.doing import MOVED_ON, Asked, Chooser, Doing, cancelling, making_due, retrying
from mulligan.engine.engine import Engine
from mulligan.engine.exchanging import Ends
from mulligan.engine.neighbours import Together, alone
from mulligan.store.store import Session
from mulligan.store.verbs.bulk import BulkRow

NOT_SAFE = "overwriting it is not known to be safe any more"
ABANDONED_MS = 600_000
"""A creation that added nothing for so long was cut off."""
LATER_MS = 5_000
"""An operation that something is wrong with lets others go first for so long."""
_EXPECTED = {
    BulkAction.RETRY: "FAILURE or REVOKED",
    BulkAction.RETRY_NOW: "waiting, not due",
    BulkAction.CANCEL: "not ended",
    BulkAction.OVERWRITE: "SUCCESS, SAFE",
}


@dataclass(slots=True)
class BulkPlan:
    """What a bulk operation would do."""

    matched: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    """Of the items that match."""
    classes: Counter[str] = field(default_factory=Counter)
    """Of those of them that have failed."""
    kept: Counter[str] = field(default_factory=Counter)
    """What would be reused: saved steps, cursors, successful calls of workflows."""
    plan: Plan = field(default_factory=Plan)
    """What would be done, and what left alone and why."""


class BulkPages:
    """Does what bulk operations are for, and says before what that would be. `rate`: items a second, 0 for no limit."""

    def __init__(self, engine: Engine, bulk: Bulk, rate: int) -> None:
        self._engine = engine
        self._bulk = bulk
        self._rate = rate
        self._doing = Doing(engine)

    def plan(self, wanted: BulkWanted) -> BulkPlan:
        """Return what would be done if it were asked for now. Raises as `Bulk.create`, but not for a risk."""
        found, filters, seen = BulkPlan(), self._bulk.filters(wanted), set[ItemKey]()
        for page in self._bulk.pages(wanted, filters):
            fresh = {key: generation for key, generation in page.items() if key not in seen}
            if "roots" not in filters:  # else each matches once
                seen.update(fresh)
            if fresh:
                self._add_page(found, wanted, filters, fresh)
        return found

    def run_due(self) -> int:
        """Do the next page of each operation of which it is due; returns how many work items were looked at."""
        with self._engine.store.read() as session:
            due = session.bulk.due(self._engine.clock.now_ms())
        return sum(map(self.step, due))

    def end_abandoned(self) -> int:
        """End operations whose creation was cut off; returns how many."""
        now_ms = self._engine.clock.now_ms()
        with self._engine.store.read() as session:
            found = session.bulk.abandoned(now_ms - ABANDONED_MS)
        for each in found:
            with self._engine.store.write() as session:
                self._end(session, each, BulkState.FAILED, CUT_OFF, now_ms)
        return len(found)

    def step(self, id: int) -> int:
        """Do the next page of an operation if it is due; an operation that cannot go on FAILED.

        Returns how many work items were looked at; 0 also where another process does that page.
        """
        now_ms = self._engine.clock.now_ms()
        try:
            return self._step(id, now_ms)
        except StoreBusy:
            return 0
        except StoreError:
            raise
        except MulliganError as error:
            with self._engine.store.write() as session:
                self._end(session, id, BulkState.FAILED, str(error), now_ms)
            return 0
        except Exception:  # a mistake of ours, which whoever does the chores tells of
            with self._engine.store.write() as session:
                session.bulk.postpone(id, now_ms + LATER_MS, now_ms)
            raise

    def _step(self, id: int, now_ms: int) -> int:
        ends = self._engine.ends()
        with self._engine.store.write() as session:
            row = session.bulk.read(id) if session.bulk.lock(id) else None
            if row is None or row.state is not BulkState.RUNNING or row.due_ms > now_ms:
                return 0
            page = session.bulk.page(id, row.place, max(row.size, 0 if row.place else row.together))
            count = len(page.items)
            plan = self._do(session, row, page.items, ends)
            plan.skipped.update({MOVED_ON: left} if (left := count - plan.total - plan.skipped.total()) > 0 else {})
            after = row._replace(
                place=page.next,
                done=row.done + plan.total,
                skipped=dict(Counter(row.skipped) + plan.skipped),
                size=next_size(row.size, self._rate),
                due_ms=next_due_ms(row.due_ms, now_ms, count, self._rate),
            )
            if not session.bulk.advance(row, after, now_ms):
                raise AssertionError(f"operation {id} moved on while its row was locked")
            if page.last:
                self._end(session, id, BulkState.DONE, None, now_ms)
        ends.ring(self._engine.bell)
        if plan.total:
            self._engine.bell.wake_workers()
        return count

    def _do(self, session: Session, row: BulkRow, page: Mapping[ItemKey, int], ends: Ends) -> Plan:
        """Do what is asked to a page, and tell the audit."""
        asker = Asker(row.actor, row.source, row.reason, row.address)
        asked = _asked(row.action, row.mode, asker, partial(_among, row.id), accept_risk=row.accept_risk)
        plan = self._to_page(session, row.action, row.mode, page, asked, ends, row)
        if page:
            done = sum(row.skipped.values()) + row.done
            target = f"operation {row.id}, work items {done + 1} to {done + len(page)} of {row.matched}"
            self._doing.audit(session, asked, target, plan)
        return plan

    def _to_page(
        self,
        session: Session,
        action: BulkAction,
        mode: RetryMode | None,
        page: Mapping[ItemKey, int],
        asked: Asked,
        ends: Ends,
        risk: BulkRow | BulkWanted,
    ) -> Plan:
        if action is not BulkAction.OVERWRITE:
            return self._doing.to_page(session, list(page), page, asked, self._chooser(action, mode), ends)
        plan = Plan()
        unsafe = {} if risk.accept_risk and not asked.dry_run else unsafe_of(session, self._engine, list(page))
        plan.unsafe, plan.judgements = len(unsafe), dict(list(unsafe.items())[:EXAMPLES])
        if unsafe and not asked.dry_run:
            plan.skipped[NOT_SAFE] += len(unsafe)
            page = {key: generation for key, generation in page.items() if str(key) not in unsafe}
        self._doing.overwrite(session, page, plan, asked, ends, forward=risk.forward)
        return plan

    def _chooser(self, action: BulkAction, mode: RetryMode | None) -> Chooser:
        match action:
            case BulkAction.CANCEL:
                return cancelling()
            case BulkAction.RETRY_NOW:
                return making_due(self._engine.clock.now_ms())
            case _:
                return retrying(self._engine, mode or "recover")

    def _end(self, session: Session, id: int, state: BulkState, error: str | None, now_ms: int) -> None:
        row = session.bulk.read(id) if session.bulk.end(id, state, error, now_ms) else None
        if row is None:
            return
        asker = Asker(row.actor, row.source, row.reason, row.address)
        said = error or f"{row.done} of {row.matched} done"
        action = f"bulk {row.action} {'failed' if error else 'done'}"
        session.records.add_audit(line(asker, now_ms, action, f"operation {id}", found=said, changed=0))
        session.records.add_bulk_event(id, state, now_ms)

    def _add_page(self, found: BulkPlan, wanted: BulkWanted, filters: Mapping[str, object], page: dict[ItemKey, int]) -> None:
        store = self._engine.store
        with store.read() as session:
            items = session.items.read(page)
            others = {other.key for _, other in session.windows.rivals(page)} - set(page)
        together = set(store.listing.keys({**filters, "ids": sorted(others)}, len(others))) if others else set()
        mode = wanted.mode if wanted.action is BulkAction.RETRY else None
        asked = _asked(wanted.action, mode, wanted.asker, lambda _, keys: keys & together, dry_run=True)
        with store.write() as session:
            part = self._to_page(session, wanted.action, mode, page, asked, Ends(), wanted)
        found.matched += len(page)
        found.statuses.update(str(item.status) for item in items)
        found.classes.update(str(item.failure_class) for item in items if item.failure_class is not None)
        if mode == "recover":
            found.kept += self._kept(part.chosen)
        found.plan.add(part)
        found.plan.unsafe += part.unsafe
        found.plan.judgements = dict([*found.plan.judgements.items(), *part.judgements.items()][:EXAMPLES])

    def _kept(self, items: Sequence[Item]) -> Counter[str]:
        """Return what a recover of some items would not do again."""
        with self._engine.store.read() as session:
            saved = session.bulk.saved(items)
            workflows = self._engine.calling.workflows(session, items)
            calls = session.bulk.kept_calls(workflows) if workflows else 0
        return Counter({"steps": saved.get("step", 0), "cursors": saved.get("cursor", 0), "calls": calls})


def _asked(
    action: BulkAction,
    mode: RetryMode | None,
    asker: Asker,
    together: Together = alone,
    *,
    accept_risk: bool = False,
    dry_run: bool = False,
) -> Asked:
    runs_again = action in (BulkAction.RETRY, BulkAction.OVERWRITE)
    verb = mode or {BulkAction.RETRY_NOW: "retry now"}.get(action, str(action))
    expected = "SUCCESS, risk accepted" if accept_risk else _EXPECTED[action]
    return Asked(
        verb,
        asker,
        expected,
        dry_run=dry_run,
        reopens=runs_again,
        in_order=action is BulkAction.RETRY,
        together=together,
    )


def _among(id: int, session: Session, keys: set[ItemKey]) -> set[ItemKey]:
    return session.bulk.among(id, keys)

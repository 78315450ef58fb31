"""Load, decide, apply: the transactions in which work items move, and the lost races."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence

from mulligan.core.definition import Definition
from mulligan.core.errors import StoreNewer
from mulligan.core.events import (
    AttemptEvent,
    CancelRequested,
    DeadlinePassed,
    Event,
    MadeDue,
    Released,
    Run,
    Succeeded,
    WorkerLost,
)
from mulligan.core.job import TERMINAL, Item, ItemKey, JobStatus, Wait
from mulligan.core.lifecycle import Transition, decide
from mulligan.engine.calling import Calling
from mulligan.engine.claiming import Claiming
from mulligan.engine.clock import Chance, Clock
from mulligan.engine.counting import count_moves
from mulligan.engine.definitions import Definitions, Published
from mulligan.engine.exchanging import Bell, Checkpoint, Claim, Claims, Ends, Exchange, NewWorker, Notes, Room, Witness
from mulligan.store.rows import CheckpointRow, Taken, WorkerRow
from mulligan.store.store import Session, Store

PAGE = 500
"""Rows of one transaction in which a lost worker's items are taken back."""
CHORE_PAGE = 2_000
"""Rows in one transaction of a chore."""
ALL = 1_000_000
ROUNDS = 10
"""How often a lost race is decided again before giving up; each lost round means that somebody else moved the item."""


class Engine:
    """All moves of work items, over one store."""

    def __init__(self, store: Store, definitions: Definitions, clock: Clock, chance: Chance, bell: Bell) -> None:
        self.store = store
        self.definitions = definitions
        self.clock = clock
        self.chance = chance
        self.bell = bell
        self.calling = Calling(self)
        self.witness: Witness | None = None
        """Hears of what moves, once it is committed."""

    def ends(self) -> Ends:
        """Return what a transaction notes its ends in."""
        return Ends(witness=self.witness)

    def exchange(
        self,
        worker: int,
        ended: Sequence[tuple[Item, AttemptEvent]],
        tasks: Sequence[int],
        room: Room | None,
        notes: Notes | None = None,
        *,
        replays: bool = False,
    ) -> Exchange:
        """Settle what ended, save what was noted, and claim what there is room for, in one transaction.

        `replays`: whether bodies of workflows run in this worker, which wait for calls.
        """
        notes = notes or Notes()
        if not (ended or replays) and room is not None and not notes:
            return self._claim(worker, tasks, room)
        if not (ended or replays) and room is None and notes.is_saving_only:
            return self._save_all(worker, notes.checkpoints)
        now_ms = self.clock.now_ms()
        ends = self.ends()
        taken = Claims((), {}, {})
        next_due: int | None = None
        with self.store.write() as session:
            is_living = session.workers.is_living(worker)
            jobs = _jobs_of(ended, notes)
            if jobs:
                bodies = (each.item for each in notes.calls)
                session.jobs.lock(jobs | self._brought_along(session, ended) | self.calling.jobs_below(session, bodies))
            saving = [self._save(session, worker, each, now_ms) for each in notes.checkpoints]
            heads = session.items.heads(tasks) if room is not None else None
            refused, waits_again = self._settle(session, ended, now_ms, ends)
            alive, saved = is_living(), [each() for each in saving]
            if alive:  # else the rest may be about items of others
                self._note(session, notes, now_ms)
                waits_again |= bool(notes.calls) and self.calling.add(session, worker, notes.calls, now_ms, ends)
            if too_late := refused + saved.count(False):
                session.workers.count_refused(worker, too_late)
            if alive and room is not None and heads is not None:
                if waits_again:  # and may be due already
                    heads = session.items.heads(tasks)
                claiming = Claiming(session, worker, room, now_ms)
                claiming.claim(heads())
                found, next_due = claiming.taken()
                taken = self._with_all_it_takes(session, found)
            arrived = session.calls.arrived(worker) if replays else []
        ends.ring(self.bell, worker)
        return Exchange(self._claims(taken), saved, refused, next_due, alive, arrived)

    def _claim(self, worker: int, tasks: Sequence[int], room: Room) -> Exchange:
        """Claim, and nothing else: then the commit goes along with the last claim.

        Where what it takes cannot be read after that, it is given back as whatever a worker does not know of.
        """
        now_ms = self.clock.now_ms()
        with self.store.write() as session:
            is_living = session.workers.is_living(worker)
            heads = session.items.heads(tasks)
            claiming = Claiming(session, worker, room, now_ms)
            alive = is_living()
            if alive:
                claiming.claim(heads())
        found, next_due = claiming.taken()
        known = self.definitions.known({each.definition for each in found})
        if known is not None and all(each.is_first for each in found):
            taken = Claims(found, known, {})
        else:
            with self.store.read() as session:
                taken = self._with_all_it_takes(session, found)
        return Exchange(self._claims(taken), [], 0, next_due, alive)

    def _claims(self, taken: Claims) -> list[Claim]:
        claims = taken.claims()
        for each in claims:
            self.calling.note(each.item.job, holds_calls=each.is_call)
        return claims

    def _save_all(self, worker: int, checkpoints: Sequence[Checkpoint]) -> Exchange:
        """Save what attempts want saved, and nothing else: nothing depends on what is returned, so the commit goes along."""
        now_ms = self.clock.now_ms()
        with self.store.write() as session:
            is_living = session.workers.is_living(worker)
            if crashed := {each.item.job for each in checkpoints if each.item.crashes}:
                session.jobs.lock(crashed)
            saving = [self._save(session, worker, each, now_ms) for each in checkpoints]
        alive, saved = is_living(), [each() for each in saving]
        if too_late := saved.count(False):  # seen too late for the same transaction, which has changed nothing then
            with self.store.write() as session:
                session.workers.count_refused(worker, too_late)
        return Exchange([], saved, 0, None, alive)

    def has_arrived(self, worker: int) -> bool:
        """Return whether calls have ended which the bodies of workflows wait for that run in a worker."""
        with self.store.read(single=True) as session:
            return session.calls.any_arrived(worker)

    def peek(self, tasks: Sequence[int]) -> int | None:
        """Return the earliest due time of what waits for these tasks, without taking any."""
        with self.store.read(single=True) as session:
            return min((head.due_ms for head in session.items.heads(tasks)()), default=None)

    def asked_to_stop(self, worker: int) -> list[tuple[ItemKey, int]]:
        """Return key and token of a worker's running items that somebody wants cancelled."""
        with self.store.read(single=True) as session:
            return session.items.asked_to_stop(worker)

    def held(self, worker: int) -> set[ItemKey]:
        """Return the keys of the work items that a worker has started and that are still its own."""
        with self.store.read(single=True) as session:
            return {item.key for item in session.items.held_by(worker, ALL)}

    def enlist(self, new: NewWorker, definitions: Sequence[Definition]) -> tuple[int, dict[str, Published]]:
        """Publish what a worker has loaded and note that it is there; returns its id and its tasks by name."""
        now_ms = self.clock.now_ms()
        with self.store.write() as session:
            published = {each.name: self.definitions.publish(session, each, now_ms, current=True) for each in definitions}
            tasks = {each.task: each.definition for each in published.values()}
            worker = session.workers.add(new.instance, new.name, new.pid, new.lock, new.lease_ms, tasks, now_ms)
        return worker, published

    def beat(self, worker: int) -> bool:
        """Count a heartbeat; False when the worker was declared lost. Raises StoreNewer when this code is too old by now."""
        with self.store.write() as session:
            oldest = session.workers.beat(worker, self.clock.now_ms())
        if oldest is not None and oldest > self.store.version:
            raise StoreNewer(
                f"the schema was migrated, and needs a version of Mulligan that knows schema {oldest}; this one knows "
                f"{self.store.version}: install the version that migrated it"
            )
        return oldest is not None

    def dismiss(self, worker: int, name: str) -> None:
        """Note that a worker ended; what it still held is taken back as lost."""
        with self.store.write() as session:
            session.workers.stop(worker, self.clock.now_ms())
        self._take_back(worker, name)

    def move(
        self,
        session: Session,
        keys: Iterable[ItemKey],
        event: Event | Callable[[Item], Event | None],
        now_ms: int,
        ends: Ends,
    ) -> list[Transition]:
        """Apply one event to items inside a transaction; items that it comes too late for are left out."""
        items = session.items.read(keys)
        pairs = [(item, event(item) if callable(event) else event) for item in items]
        return self._apply(session, [(item, each) for item, each in pairs if each is not None], now_ms, ends)[0]

    def reap(self, worker: WorkerRow) -> int:
        """Declare a worker lost and decide on what it ran; returns how many items that were.

        One that has beaten since it was looked at lives after all, and is left alone.
        """
        with self.store.write() as session:
            lost = session.workers.lose(worker.id, worker.beat, self.clock.now_ms())
        return self._take_back(worker.id, worker.name) if lost or worker.ended else 0

    def take_back_retried(self, worker: WorkerRow) -> int:
        """Take back what a worker runs that may run again, from one that is probably dead; returns how many items that were.

        What runs at most once is left with it: should it live, that must not fail. A worker that holds nothing of the kind is
        declared lost, so that, if it lives, it stops what it runs.
        """
        with self.store.read() as session:
            held = session.items.held_by(worker.id, ALL)
        if not any(item.once for item in held):
            return self.reap(worker)
        now_ms, ends = self.clock.now_ms(), self.ends()
        lost = [(item, WorkerLost(Run(item.token, worker.id, now_ms), worker.name)) for item in held if not item.once]
        with self.store.write() as session:
            moved = self._apply(session, lost, now_ms, ends)[0]
        if moved:
            self.bell.wake_workers()
        ends.ring(self.bell)
        return len(moved)

    def _take_back(self, worker: int, name: str) -> int:
        total = 0
        while True:
            now_ms, ends = self.clock.now_ms(), self.ends()
            with self.store.write() as session:
                items = session.items.held_by(worker, PAGE)
                pairs = [(item, WorkerLost(Run(item.token, worker, now_ms), name)) for item in items]
                self._apply(session, pairs, now_ms, ends)
                if len(items) < PAGE:
                    session.workers.close(worker, now_ms)
            total += len(items)
            ends.ring(self.bell)
            if len(items) < PAGE:
                break
        if total:
            self.bell.wake_workers()
        return total

    def expire(self) -> int:
        """Fail items that still wait after their deadline; returns how many."""
        now_ms, ends = self.clock.now_ms(), self.ends()
        with self.store.read(single=True) as session:
            if not session.items.expired(now_ms, 1):
                return 0
        with self.store.write() as session:
            items = session.items.expired(now_ms, CHORE_PAGE)
            moved, _ = self._apply(session, [(item, DeadlinePassed()) for item in items], now_ms, ends)
        ends.ring(self.bell)
        return len(moved)

    def give_back(self, worker: int, known: Container[tuple[ItemKey, int]]) -> int:
        """Give back what a worker holds but does not know of; returns how much.

        To be called after an exchange failed: it may have been committed without its answer, and what it claimed would
        be held for ever. `known` has key and token of what the worker runs or has yet to settle.
        """
        now_ms = self.clock.now_ms()
        with self.store.write() as session:
            held = session.items.held_by(worker, ALL)
            unknown = [item for item in held if (item.key, item.token) not in known]
            self._apply(session, [(item, Released(Run(item.token, worker, now_ms))) for item in unknown], now_ms, Ends())
        return len(unknown)

    def settle_in(self, session: Session, pairs: Sequence[tuple[Item, Event]], now_ms: int, ends: Ends) -> list[Transition]:
        """Apply events to items that were read in this transaction."""
        return self._apply(session, pairs, now_ms, ends)[0]

    def _settle(self, session: Session, ended: Sequence[tuple[Item, AttemptEvent]], now_ms: int, ends: Ends) -> tuple[int, bool]:
        """Settle what ended; returns how much came too late, and whether something waits again, or waits no longer."""
        if not ended:
            return 0, False
        moved, late = self._apply_locked(session, ended, now_ms, ends)
        return late, late > 0 or any(each.after.status is not JobStatus.SUCCESS or each.after.generation > 1 for each in moved)

    def _apply(
        self, session: Session, pairs: Sequence[tuple[Item, Event]], now_ms: int, ends: Ends
    ) -> tuple[list[Transition], int]:
        """Lock the items' jobs, decide and write; returns what moved, and how much came too late."""
        if not pairs:
            return [], 0
        session.jobs.lock({item.job for item, _ in pairs} | self._brought_along(session, pairs))
        return self._apply_locked(session, pairs, now_ms, ends)

    def _apply_locked(
        self, session: Session, pairs: Sequence[tuple[Item, Event]], now_ms: int, ends: Ends
    ) -> tuple[list[Transition], int]:
        """Decide and write; what was not as it had been read is read and decided again."""
        moved: list[Transition] = []
        late, told = 0, len(ends.jobs)
        any_broken = session.tallies.any_broken_window(self._succeeding_in_windows(session, pairs))  # sent off before the moves
        for _ in range(ROUNDS):
            decided = [self._decide(session, item, event, now_ms) for item, event in pairs]
            wanted = [each for each in decided if each is not None]
            late += len(decided) - len(wanted)
            written, ended = session.items.apply(wanted, now_ms)
            moved += written
            ends.jobs += ended
            if len(written) == len(wanted):
                break
            done = {each.before.key for each in written}
            events = {item.key: event for item, event in pairs}
            lost = [each.before.key for each in wanted if each.before.key not in done]
            pairs = [(item, events[item.key]) for item in session.items.read(lost)]
            late += len(lost) - len(pairs)
        if ends.witness is not None:
            ends.moved += moved
        self._count(session, moved, now_ms)
        count_moves(session, moved, now_ms, any_broken, lambda item: self.definitions.get(session, item.definition).workflow)
        self._follow(session, moved, now_ms, ends, ends.jobs[told:])
        return moved, late

    def _count(self, session: Session, moved: Sequence[Transition], now_ms: int) -> None:
        """Count by cause what has failed, and what is failed no more."""
        counted = [each for each in moved if each.cause is not None or each.before.cause is not None]
        calls = self.calling.pipelines(session, {each.after.job for each in counted}) if counted else {}
        for each in counted:
            job = each.after.job
            session.causes.note(calls.get(job, each.after.task), each, now_ms, root=job not in calls)

    def _succeeding_in_windows(self, session: Session, pairs: Sequence[tuple[Item, Event]]) -> set[int]:
        """Return the tasks whose windows may be broken no more: items without one that succeed at once were never broken."""
        ran = {(item.task, item.definition) for item, event in pairs if isinstance(event, Succeeded)}
        return {task for task, definition in ran if self.definitions.get(session, definition).window is not None}

    def _decide(self, session: Session, item: Item, event: Event, now_ms: int) -> Transition | None:
        definition = self.definitions.get(session, item.definition)
        return decide(item, event, definition.policy, now_ms, self.chance(), workflow=definition.workflow)

    def _follow(self, session: Session, moved: Sequence[Transition], now_ms: int, ends: Ends, jobs_ended: Sequence[int]) -> None:
        """Do what a move brings with it: events for people, old checkpoints dropped, a waiting successor made due or ended."""
        for each in moved:
            after = each.after
            if after.status is JobStatus.FAILURE:
                session.records.add_event("item_failed", after.key, after.generation, after.reason, now_ms)
            elif after.status is JobStatus.SUCCESS and after.generation > 1:
                session.records.drop_old_checkpoints(after.key, after.keep_from)
        calls = self.calling.follow(session, moved, now_ms, ends)
        for job in jobs_ended:
            if job not in calls:
                session.records.add_event("job_ended", job, None, None, now_ms)
        again = [each.after for each in moved if each.after.generation > 1 and each.after.status in TERMINAL]
        if again and session.records.any_successor():
            self._keep_order(session, again, now_ms, ends)

    def _keep_order(self, session: Session, ended: Sequence[Item], now_ms: int, ends: Ends) -> None:
        """Make due what comes after an item that succeeded, revoke what comes after one that did not.

        Of what did not succeed the order is kept, for a retry.
        """
        unreached: list[ItemKey] = []
        for item in ended:
            if item.status is not JobStatus.SUCCESS:
                unreached += session.records.held_behind(item.key)
            elif following := session.records.leave_order(item.key):
                self.move(session, [following], _its_turn, now_ms, ends)
        if unreached:
            self.move(session, unreached, CancelRequested(), now_ms, ends)

    def _brought_along(self, session: Session, pairs: Sequence[tuple[Item, Event]]) -> set[int]:
        """Return the jobs of what may move when items do: of what comes after them in their orders, of their calls."""
        succeeds = {item.key: isinstance(event, Succeeded) for item, event in pairs if item.generation > 1}
        behind = jobs_behind(session, succeeds) if succeeds else set()
        return behind | self.calling.jobs_below(session, (item for item, _ in pairs))

    def _note(self, session: Session, notes: Notes, now_ms: int) -> None:
        if notes.logs:
            session.records.add_logs(notes.logs, now_ms)
        if notes.progress:
            session.records.set_progress(notes.progress, now_ms)

    def _save(self, session: Session, worker: int, checkpoint: Checkpoint, now_ms: int) -> Callable[[], bool]:
        item = checkpoint.item
        saved = session.records.save_checkpoint(
            item.key,
            CheckpointRow(
                checkpoint.kind,
                checkpoint.key,
                item.generation,
                checkpoint.value,
                item.token,
                checkpoint.definition,
                now_ms,
            ),
            worker,
        )
        if item.crashes:
            session.items.forgive_crashes(item.key, item.token, worker)
        return saved

    def _with_all_it_takes(self, session: Session, taken: Sequence[Taken]) -> Claims:
        definitions = {id: self.definitions.get(session, id) for id in {each.definition for each in taken}}  # noqa: A001
        again = [each.keeps for each in taken if not each.is_first]
        return Claims(taken, definitions, session.records.saved(again) if again else {})


def _jobs_of(ended: Sequence[tuple[Item, AttemptEvent]], notes: Notes) -> set[int]:
    """Return the jobs whose items an exchange may change; checkpoints change what had crashed only."""
    changed = {each.item.job for each in notes.checkpoints if each.item.crashes} | {each.item.job for each in notes.calls}
    return {item.job for item, _ in ended} | changed


def jobs_behind(session: Session, succeeds: Mapping[ItemKey, bool]) -> set[int]:
    """Return the jobs of what comes after some items: if an item succeeds only the next one moves, else all that wait behind.

    They are to be locked together with those of the items, so that nobody waits in a ring.
    """
    following = session.records.followers(succeeds) if session.records.any_successor() else {}
    behind = [each for key in following if not succeeds[key] for each in session.records.held_behind(key)]
    return {key.job for key in (*following.values(), *behind)}


def _its_turn(item: Item) -> Event | None:
    return MadeDue() if item.wait is Wait.PREDECESSOR else None


def held(item: Item) -> bool:
    """Return whether an item must not be made due by hand: its submission is not complete, or it comes after another."""
    return item.wait in (Wait.SUBMITTING, Wait.PREDECESSOR)

"""Lists of jobs and work items by filter: the one place that composes SQL text, from the closed sets below."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mulligan.core.errors import ArgumentsInvalid
from mulligan.core.job import Item, ItemKey, Job
from mulligan.store.interface import Database, Rows
from mulligan.store.rows import ITEM_COLUMNS, Input, input_of, item_of, job_of

MAX_PAGE = 500

_JOB_STATUS = """case
    when j.sealed = 1 and j.pending + j.started + j.retry = 0 then
        case when j.failure > 0 then 'FAILURE' when j.revoked > 0 then 'REVOKED' else 'SUCCESS' end
    when j.started > 0 then 'STARTED' when j.retry > 0 then 'RETRY'
    when j.success + j.failure + j.revoked > 0 then 'STARTED' else 'PENDING' end"""

# What the dialects say differently: members of a list that travels as JSON, a value in a JSON object, a piece of text.
_MEMBERS = {
    "sqlite": "(select value from json_each(:{0}))",
    "postgres": "(select value from jsonb_array_elements_text(:{0}::jsonb))",
}
# By their places in PostgreSQL, each found by itself: in a join its planner would rather go through all items in their order.
_IDS = {
    "sqlite": "(i.job, i.number) in (select value ->> 0, value ->> 1 from json_each(:ids))",
    "postgres": """i.ctid = any (array(
        select t.ctid from jsonb_array_elements(:ids::jsonb) k cross join lateral (
            select ctid from items where job = (k ->> 0)::bigint and number = (k ->> 1)::bigint offset 0) t))""",
}
_LABEL = {
    "sqlite": "json_extract(j.labels, '$.' || json_quote(:label_name))",
    "postgres": "j.labels::jsonb ->> cast(:label_name as text)",
}
_PLACE_OF = {"sqlite": "instr", "postgres": "strpos"}

# The newest of a window is one in flight, else the last that ended, as in `windows_newest`; what has no window has no newer one.
_NEVER = 9_223_372_036_854_775_807
_LATEST = f"""not exists (select 1 from inputs o join items x on x.job = o.job and x.number = o.number
    where o.task = n.task and o.window_start_ms = n.window_start_ms and o.window_end_ms = n.window_end_ms
        and (coalesce(x.ended_ms, {_NEVER}), x.job, x.number) > (coalesce(i.ended_ms, {_NEVER}), i.job, i.number))
and not exists (select 1 from past_windows p
    where p.task = n.task and p.window_start_ms = n.window_start_ms and p.window_end_ms = n.window_end_ms
        and (p.ended_ms, p.job, p.number) > (i.ended_ms, i.job, i.number))"""  # noqa: S608 - of the constant above

JOB_FILTERS = {
    dialect: {
        "status": f"{_JOB_STATUS} in {_MEMBERS[dialect].format('status')}",
        "task": "t.name = :task",
        "tasks": f"t.name in {_MEMBERS[dialect].format('tasks')}",
        "namespace": "t.namespace = :namespace",
        "run_id": "j.run_id = :run_id",
        "label": f"{_LABEL[dialect]} = :label_value",
        "before": "j.id < :before",
    }
    for dialect in _MEMBERS
}
ITEM_FILTERS = {
    dialect: {
        "job": "i.job = :job",
        "number": "i.number = :number",
        "ids": _IDS[dialect],
        "status": f"i.status in {_MEMBERS[dialect].format('status')}",
        "task": "i.task in (select id from tasks where name = :task)",
        "tasks": f"i.task in (select id from tasks where name in {_MEMBERS[dialect].format('tasks')})",  # noqa: S608 - of a closed set
        "namespace": "i.task in (select id from tasks where namespace = :namespace)",
        "failure_class": "i.failure_class = :failure_class",
        "cause": "i.cause = :cause",
        "run_id": "i.job in (select id from jobs where run_id = :run_id)",
        "key": "n.key = :key",
        "parent": "i.job in (select id from jobs where parent_job = :parent_job and parent_number = :parent_number)",
        "roots": "(select parent_job from jobs where id = i.job) is null",
        "window_start": "n.window_start_ms >= :window_start",
        "window_end": "n.window_end_ms <= :window_end",
        "error": f"{_PLACE_OF[dialect]}(a.error_message, :error) > 0",
        "latest": _LATEST,
        "after": "(i.job, i.number) > (:after_job, :after_number)",
    }
    for dialect in _MEMBERS
}

# What some filters say more closely, in the words by which an index is found. A place inside one job is a number, and so is a key
# there: else PostgreSQL, which would have to sort what it finds by the key, goes through the job in order. A partial index
# is used only for a status that the text itself names; SQLite takes no part of one in the order of a list, so there the jobs that
# have such items at all are looked at one after the other.
_BEYOND = "i.number > :after_number"
_BY_KEY = "i.number = (select number from inputs where job = :job and key = :key)"
_IN_A_JOB = {each: f"i.status = '{each}'" for each in ("RETRY", "FAILURE", "REVOKED")}
_IN_ANY = {
    "sqlite": {
        each: f"i.status = '{each}' and i.job in (select id from jobs where {each.lower()} > 0)"  # noqa: S608 - of a closed set
        for each in ("PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED")
    },
    "postgres": _IN_A_JOB,
}

_JOBS = """select j.id, t.namespace, j.task, t.name, j.run_id, j.kind, j.tz, j.labels, j.sealed, j.cancel_ms, j.created_ms,
    j.ended_ms, j.pending, j.started, j.retry, j.success, j.failure, j.revoked, j.pruned_ms, j.parent_job, j.parent_number
from jobs j join tasks t on t.id = j.task
where (j.pruned_ms is null or j.named = 1) and j.parent_job is null"""
_INPUTS = " join inputs n on n.job = i.job and n.number = i.number"
_ATTEMPTS = """ left join attempts a on a.job = i.job and a.number = i.number and a.token = case when i.status = 'FAILURE'
    then (select max(token) from attempts where job = i.job and number = i.number) else i.token end"""
_ITEMS = f"""select i.job, i.number, i.task, i.definition, i.once, i.priority, i.status, i.due_ms, i.wait, i.generation,
    i.attempt, i.token, i.version, i.worker, i.claimed_ms, i.cancel_ms, i.deadline_ms, i.cutoff_ms, i.charges, i.crashes,
    i.snoozes, i.keep_from, i.reason, i.failure_class, i.created_ms, i.ended_ms, i.cause,
    n.key, n.arguments, n.window_start_ms, n.window_end_ms, a.error_type, a.error_message, a.result, a.rows, w.name,
    t.name, t.paused_ms
from items i{_INPUTS} join tasks t on t.id = i.task{_ATTEMPTS}
left join workers w on w.id = i.worker
where i.job not in (select id from jobs where pruned_to is not null)"""  # noqa: S608 - of the two constants above
_KEYS = """select i.job, i.number, i.generation from items i{0}
where i.job not in (select id from jobs where pruned_to is not null)"""
_NEEDS = {"key": _INPUTS, "window_start": _INPUTS, "window_end": _INPUTS, "latest": _INPUTS, "error": _ATTEMPTS}
"""What else must be read for a filter, where no more than the keys is asked for."""


class ItemDetail(NamedTuple):
    """An item with its input, and with what its newest attempt left, if that has ended.

    Of one that failed, with what the last that ended left: after it, one may have been handed back without having started.
    """

    item: Item
    input: Input
    error_type: str | None
    error_message: str | None
    result: str | None
    rows: int | None
    worker: str | None
    task: str
    paused_ms: int | None


class Listing:
    """Reads pages of jobs and of work items."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def jobs(self, filters: Mapping[str, Any], limit: int = 100) -> list[Job]:
        """Return jobs, newest first. Filters: status, task, namespace, run_id, label (name, value), before (an id)."""
        text, values = _compose(_JOBS, JOB_FILTERS[self._database.dialect], filters)
        with self._snapshot():
            rows = self._database.text_in_reader(
                f"{text} order by j.id desc limit :limit", {**values, "limit": min(limit, MAX_PAGE)}
            )
            return [job_of(row) for row in rows]

    def items(self, filters: Mapping[str, Any], limit: int = 100) -> list[ItemDetail]:
        """Return work items by job and number. Filters: the keys of ITEM_FILTERS; `after` is a key to go on from."""
        with self._snapshot():
            return [_detail(row) for row in self._page(_ITEMS, filters, min(limit, MAX_PAGE))]

    def keys(self, filters: Mapping[str, Any], limit: int) -> dict[ItemKey, int]:
        """Return the keys of work items by job and number, each with its generation; filters as for `items`."""
        needed = dict.fromkeys(_NEEDS[name] for name, value in filters.items() if name in _NEEDS and value is not None)
        with self._snapshot():
            rows = self._page(_KEYS.format("".join(needed)), filters, limit)
            return {ItemKey(job, number): generation for job, number, generation in rows}

    def all_items(self, filters: Mapping[str, Any]) -> Iterator[ItemDetail]:
        """Yield every work item of a filter, a page at a time."""
        after: ItemKey | None = None
        while True:
            page = self.items({**filters, **({"after": after} if after else {})}, MAX_PAGE)
            yield from page
            if len(page) < MAX_PAGE:
                return
            after = page[-1].item.key

    def _page(self, select: str, filters: Mapping[str, Any], limit: int) -> Rows:
        dialect = self._database.dialect
        said, closer = _closer(filters, dialect)
        text, values = _compose(select, ITEM_FILTERS[dialect], said)
        # Items that are named one by one are sorted by themselves: no index has them in order but that of all items.
        order = "i.job, i.number" if said.get("ids") is None else "i.job + 0, i.number + 0"
        text = f"{' and '.join([text, *closer])} order by {order} limit :limit"
        return self._database.text_in_reader(text, {**values, "limit": limit})

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[None]:
        with self._database.read():
            yield


def _detail(row: Any) -> ItemDetail:
    return ItemDetail(item_of(row), input_of(row[ITEM_COLUMNS:]), *row[ITEM_COLUMNS + 4 :])


def _closer(filters: Mapping[str, Any], dialect: str) -> tuple[dict[str, Any], list[str]]:
    """Return the filters that are left, and the clauses that say the others more closely."""
    said, clauses = dict(filters), []
    after, status = said.get("after"), said.get("status")
    if after is not None and after[0] == said.get("job"):
        clauses.append(_BEYOND)
    if said.get("job") is not None and said.get("key") is not None:
        clauses.append(_BY_KEY)
    # What failed of one cause has an index of its own, which is not to be passed over for that of a status.
    known = _IN_A_JOB if {"job", "cause"} & {name for name in said if said[name] is not None} else _IN_ANY[dialect]
    one = [status] if isinstance(status, str) else list(status or [])
    if len(one) == 1 and str(one[0]) in known:
        del said["status"]
        clauses.append(known[str(one[0])])
    return said, clauses


def _compose(select: str, known: Mapping[str, str], filters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    clauses: list[str] = []
    values: dict[str, Any] = {}
    for name, value in filters.items():
        if name not in known:
            raise ArgumentsInvalid(f"there is no filter {name!r}: use {', '.join(sorted(known))}")
        if value is None:
            continue
        clauses.append(known[name])
        values.update(_bound(name, value))
    return " and ".join([select, *clauses]), values


def _bound(name: str, value: Any) -> dict[str, Any]:
    match name:
        case "status":
            return {"status": json.dumps([str(each) for each in ([value] if isinstance(value, str) else value)])}
        case "tasks":
            return {"tasks": json.dumps(list(value))}
        case "ids":
            return {"ids": json.dumps([list(each) for each in value])}
        case "label":
            return {"label_name": value[0], "label_value": value[1]}
        case "roots" | "latest":
            return {}
        case "parent":
            return {"parent_job": value[0], "parent_number": value[1]}
        case "after":
            return {"after_job": value[0], "after_number": value[1]}
    return {name: value}

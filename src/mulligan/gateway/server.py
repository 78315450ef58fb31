"""A client's gateway to a server: the API's own paths."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any
from urllib.parse import quote

from mulligan.core.definition import Definition
from mulligan.core.errors import ConfigError, NotFound, Refused, RunIdConflict, UnknownTask
from mulligan.core.job import Counts, ItemKey
from mulligan.core.submission import Submission
from mulligan.core.trends import Every, Trend
from mulligan.engine.asking import Plan
from mulligan.engine.filters import cause_filters, job_filters
from mulligan.engine.reading import WorkerView
from mulligan.engine.trending import day_of
from mulligan.gateway import answers
from mulligan.gateway.bodies import act_body, chunk_body, filter_query, iso, item_chunks, items_body, whole_body
from mulligan.gateway.causes import Cause, CauseSample
from mulligan.gateway.interface import Act, Attempt, Ended, ItemFacts, JobFacts, LogPage
from mulligan.gateway.keys import KeyAdmin
from mulligan.gateway.listening import StreamHints
from mulligan.gateway.operations import Operations
from mulligan.gateway.requests import Address, Requests
from mulligan.gateway.server_keys import ServerKeys
from mulligan.gateway.server_operations import ServerOperations
from mulligan.store.interface import Hints
from mulligan.store.rows import AuditRow
from mulligan.telemetry import Tell

PAGE = 500
"""Rows of a page, the most that a server gives."""
QUICKEST_S, SLOWEST_S = 0.05, 1.0
BEHIND_S = 10.0
LOOK_S = 10.0
"""So long does whoever looks again and again wait for one answer."""


class ServerGateway:
    """Reads and acts through the API of a server."""

    def __init__(self, address: Address, tell: Tell) -> None:
        self._requests = Requests(address, tell)
        self.keys: KeyAdmin = ServerKeys(self._requests)
        self.operations: Operations = ServerOperations(
            self._requests, time.sleep, lambda path, limit: self._some(path, {}, limit)
        )

    def close(self) -> None:
        self._requests.close()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def published(self, task: str) -> Definition:
        said = self._pipeline(task)
        parameters = json.dumps(said["parameters"])
        return Definition(said["name"], said["module"], None, window=said["window"], parameters=parameters)

    def take(self, submission: Submission) -> JobFacts:
        body = whole_body(submission)
        if body is None:
            chunks = item_chunks(submission)
            first, second = next(chunks), next(chunks, None)
            if second is not None:
                return self._in_chunks(submission, first, chain([second], chunks))
            body = items_body(submission, first)
        return answers.job_of(self._requests.post_text("/api/jobs", body))

    def plan(self, submission: Submission) -> Plan:
        body = whole_body(submission, dry_run=True)
        assert body is not None  # noqa: S101 - a backfill is a range to be cut
        return answers.plan_of(self._requests.post_text("/api/jobs", body))

    def _in_chunks(self, submission: Submission, first: list[str], chunks: Iterator[list[str]]) -> JobFacts:
        """Submit a job of more than one request: nothing of it starts before all of it is there."""
        said = self._requests.post_text("/api/jobs", items_body(submission, first, sealed=False))
        job, total = said["id"], len(first)
        for chunk in chunks:
            if not said["sealed"]:  # else it was submitted before, under its run id
                self._requests.post_text(f"/api/jobs/{job}/work-items", chunk_body(total, chunk))
            total += len(chunk)
        if said["sealed"] and said["counts"]["total"] != total:
            raise RunIdConflict(f"run id {said['run_id']!r} belongs to job {job}, which has other input: use another run id")
        return answers.job_of(self._requests.post(f"/api/jobs/{job}/seal", {"total": total}))

    def job(self, id: int) -> JobFacts:
        return answers.job_of(self._requests.get(f"/api/jobs/{id}"))

    def look(self, id: int, within_s: float | None = None) -> JobFacts:
        return answers.job_of(self._requests.get_once(f"/api/jobs/{id}", LOOK_S if within_s is None else min(LOOK_S, within_s)))

    def jobs(self, filters: Mapping[str, Any], limit: int) -> list[JobFacts]:
        plain = job_filters(filters)
        if "namespace" in plain:
            raise ConfigError("namespace: a server serves one, which is its own")
        if "label" in plain:
            plain["label"] = "=".join(plain["label"])
        if "status" in plain:
            plain["status"] = [str(each) for each in plain["status"]]
        return [answers.job_of(each) for each in self._some("/api/jobs", plain, limit)]

    def item(self, key: ItemKey) -> ItemFacts:
        return answers.item_of(self._requests.get(f"/api/work-items/{key}"))

    def items(self, filters: Mapping[str, Any], limit: int) -> list[ItemFacts]:
        return [answers.item_of(each) for each in self._some("/api/work-items", filter_query(filters), limit)]

    def all_items(self, filters: Mapping[str, Any]) -> Iterator[ItemFacts]:
        return (answers.item_of(each) for each in self._all("/api/work-items", filter_query(filters)))

    def calls(self, key: ItemKey, filters: Mapping[str, Any], limit: int) -> list[ItemFacts]:
        return [answers.item_of(each) for each in self._some(f"/api/work-items/{key}/calls", filter_query(filters), limit)]

    def call_counts(self, key: ItemKey) -> Counts:
        return answers.counts_of(self._requests.get(f"/api/work-items/{key}/call-counts"))

    def results(self, job: int) -> Iterator[Ended]:
        return (answers.ended_of(each) for each in self._all(f"/api/jobs/{job}/work-items", {}))

    def attempts(self, key: ItemKey) -> list[Attempt]:
        return [answers.attempt_of(each) for each in self._all(f"/api/work-items/{key}/attempts", {})]

    def logs(self, key: ItemKey, after: str | None = None) -> LogPage:
        return answers.log_of(self._requests.get(f"/api/work-items/{key}/logs/pieces", {"after": after}))

    def explain(self, key: ItemKey) -> str:
        return "\n".join(self._requests.get(f"/api/work-items/{key}/explain")["lines"])

    def act(self, act: Act) -> Plan:
        if act.mode not in ("recover", "restart"):
            raise Refused(f"type {act.mode!r}: retry takes 'recover' or 'restart'")
        where = f"/api/jobs/{act.job}" if act.job is not None else "/api/work-items"
        where = where if act.item is None else f"{where}/{act.item}"
        query = {"type": act.mode} if act.verb == "retry" else None
        return answers.plan_of(self._requests.post(f"{where}/{act.verb.replace('_', '-')}", act_body(act), query))

    def pause(self, task: str, reason: str, *, paused: bool) -> bool:
        path = f"/api/pipelines/{quote(task, safe='')}/{'pause' if paused else 'resume'}"
        changed: bool = self._requests.post(path, {"reason": reason})["changed"]
        return changed

    def causes(self, filters: Mapping[str, Any]) -> Iterator[Cause]:
        plain = cause_filters(filters)
        since_ms = plain.pop("since_ms", None)
        query = plain if since_ms is None else {**plain, "since": iso(since_ms)}
        return (answers.cause_of(each) for each in self._all("/api/causes", query))

    def cause(self, id: str) -> Cause:
        return answers.cause_of(self._cause(id))

    def cause_sample(self, id: str) -> CauseSample | None:
        return answers.sample_of(self._cause(id)["sample"])

    def trends(self, every: Every, task: str | None, since: Any, until: Any) -> list[Trend]:
        given = {"since": since, "until": until}
        days = {name: str(day_of(value, name)) for name, value in given.items() if value is not None}
        said = self._requests.get("/api/trends", {"every": every, "task": task, **days})
        return [answers.trend_of(each) for each in said["items"]]

    def workers(self) -> list[WorkerView]:
        return [answers.worker_of(each) for each in self._requests.get("/api/workers")["items"]]

    def audit(self, target: str | None, limit: int) -> list[AuditRow]:
        return [answers.audit_of(each) for each in self._some("/api/audit", {"target": target}, limit)]

    def has_worker(self, task: str) -> bool:
        try:
            found: bool = self._pipeline(task)["has_worker"]
        except (UnknownTask, NotFound):
            return False
        return found

    def listen(self, job: int) -> Hints | None:
        return StreamHints(self._requests, job)

    def pause_s(self, waited_s: float, hints: Hints | None) -> float:
        """Look seldom behind a stream; else often at first and then every second: what takes long asks for little."""
        if isinstance(hints, StreamHints) and hints.is_up:
            return BEHIND_S
        return min(SLOWEST_S, max(QUICKEST_S, waited_s / 10))

    def _cause(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self._requests.get(f"/api/causes/{quote(id, safe='')}")
        return found

    def _pipeline(self, task: str) -> dict[str, Any]:
        found: dict[str, Any] = self._requests.get(f"/api/pipelines/{quote(task, safe='')}")
        return found

    def _some(self, path: str, query: Mapping[str, Any], limit: int) -> list[dict[str, Any]]:
        """Return the first rows of a list; a page holds as many as may be asked for."""
        if not limit:
            self._requests.get(path, {**query, "limit": 1})  # what is wrong with the filters is to be said all the same
            return []
        found: list[dict[str, Any]] = self._requests.get(path, {**query, "limit": limit})["items"]
        return found

    def _all(self, path: str, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        page = self._requests.get(path, {**query, "limit": PAGE})
        return self._rest(path, query, page)

    def _rest(self, path: str, query: Mapping[str, Any], page: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from page["items"]
        while page["next"] is not None:
            page = self._requests.get(path, {**query, "limit": PAGE, "cursor": page["next"]})
            yield from page["items"]

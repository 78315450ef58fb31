"""What a server answers, as the values that a client reads."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, datetime
from typing import Any

from mulligan.core import labels
from mulligan.core.job import Counts, FailureClass, ItemKey, JobStatus, Outcome, Reason
from mulligan.core.recovery import Judgement, Verdict
from mulligan.core.trends import Figures, Recoveries, Trend
from mulligan.engine.asking import Plan
from mulligan.engine.reading import WorkerView
from mulligan.gateway.causes import Cause, CauseSample, PipelineCause
from mulligan.gateway.interface import Attempt, Ended, ItemFacts, ItemTold, JobFacts, JobTold, LogPage, LogPiece
from mulligan.store.rows import AuditRow


def job_of(said: dict[str, Any]) -> JobFacts:
    """Return a job."""
    told = JobTold(said["label"], said["progress"], said["error_message"])
    return JobFacts(
        id=int(said["id"]),
        task=said["task"],
        run_id=said["run_id"],
        kind=said["kind"],
        tz=said["tz"],
        status=JobStatus(said["status"]),
        counts=counts_of(said["counts"]),
        labels=said["labels"],
        cancel_requested=said["cancel_requested"],
        created_ms=ms_of(said["created_at"]),
        ended_ms=maybe_ms_of(said["ended_at"]),
        removed_ms=maybe_ms_of(said["details_removed_at"]),
        told=lambda: told,
    )


def counts_of(said: dict[str, Any]) -> Counts:
    """Return counts by status."""
    return Counts(*(said[name] for name in ("pending", "started", "retry", "success", "failure", "revoked")))


def item_of(said: dict[str, Any]) -> ItemFacts:
    """Return a work item."""
    window, status = said["window"], JobStatus(said["status"])
    parent = None if said["parent"] is None else ItemKey.of(said["parent"])
    tz = "UTC" if window is None else window["tz"]
    told = ItemTold(said["label"], said["progress"], tz, parent, said["safe_to_retry"])
    return ItemFacts(
        id=ItemKey.of(said["id"]),
        task=said["task"],
        key=said["key"],
        window=None if window is None else (ms_of(window["start"]), ms_of(window["end"])),
        arguments=json.dumps(said["args"]),
        status=status,
        reason=Reason(said["reason"]),
        generation=said["generation"],
        attempt=said["attempt"],
        failure_class=_class(said["failure_class"]),
        cause=said["cause"],
        error_message=said["error_message"],
        result=json.dumps(said["result"]) if status is JobStatus.SUCCESS else None,
        due_ms=maybe_ms_of(said["due_at"]) or 0,
        claimed_ms=maybe_ms_of(said["claimed_at"]),
        worker=said["worker"],
        created_ms=ms_of(said["created_at"]),
        ended_ms=maybe_ms_of(said["ended_at"]),
        told=lambda: told,
    )


def ended_of(said: dict[str, Any]) -> Ended:
    """Return what came of a work item."""
    status, message = JobStatus(said["status"]), said["error_message"] or ""
    if status is JobStatus.REVOKED:
        message = labels.failure_message(Reason(said["reason"]), said["error_message"])
    return Ended(said["id"], status, json.dumps(said["result"]), said["failure_class"], said["error_type"], message)


def attempt_of(said: dict[str, Any]) -> Attempt:
    """Return an ended attempt."""
    return Attempt(
        generation=said["generation"],
        number=said["attempt"],
        outcome=Outcome(said["outcome"]),
        failure_class=_class(said["failure_class"]),
        rule=said["rule"],
        error_type=said["error_type"],
        error_message=said["error_message"],
        decision=Reason(said["decision"]),
        claimed_at=_time(said["claimed_at"]),
        started_at=None if said["started_at"] is None else _time(said["started_at"]),
        ended_at=_time(said["ended_at"]),
        charged=said["charged"],
        delay_s=said["delay_s"],
        cause=said["cause"],
        rows=said["rows"],
        exit_code=said["exit_code"],
        signal=said["signal"],
    )


def log_of(said: dict[str, Any]) -> LogPage:
    """Return pieces of a log."""
    return LogPage([LogPiece(each["place"], ms_of(each["at"]), each["text"]) for each in said["items"]], said["next"])


def plan_of(said: dict[str, Any]) -> Plan:
    """Return what an action did, or would do."""
    judgements = {
        item: Judgement(Verdict(each["verdict"]), tuple(each["evidence"])) for item, each in said.get("unsafe", {}).items()
    }
    return Plan(
        total=said["total"],
        examples=said["examples"],
        skipped=Counter(said["left_alone"]),
        warnings=said["warnings"],
        unsafe=said["unsafe_total"],
        judgements=judgements,
    )


def cause_of(said: dict[str, Any]) -> Cause:
    """Return a root cause."""
    pipelines = tuple(_pipeline_cause(each) for each in said["pipelines"])
    return Cause(
        id=said["id"],
        failure_class=FailureClass(said["failure_class"]),
        error_type=said["error_type"],
        title=said["title"],
        failed_now=said["failed_now"],
        failures=said["failures"],
        pipelines=pipelines,
        first_seen=_time(said["first_seen_at"]),
        last_seen=_time(said["last_seen_at"]),
        why=tuple((each["what"], each["value"]) for each in said["why"]),
        version=said["version"],
    )


def _pipeline_cause(said: dict[str, Any]) -> PipelineCause:
    first, last = _time(said["first_seen_at"]), _time(said["last_seen_at"])
    return PipelineCause(said["pipeline"], said["failed_now"], said["failures"], first, last)


def sample_of(said: dict[str, Any] | None) -> CauseSample | None:
    """Return the newest failure of a cause."""
    if said is None:
        return None
    return CauseSample(said["work_item"], said["error_type"], said["error_message"], said["traceback"])


def trend_of(said: dict[str, Any]) -> Trend:
    """Return the figures of a pipeline in a day or a week."""
    figures: dict[str, Any] = dict(said["figures"])
    figures |= {name: Recoveries(**figures[name]) for name in ("recoveries", "automatic", "manual")}
    start, end = date.fromisoformat(said["start"]), date.fromisoformat(said["end"])
    return Trend(said["pipeline"], said["period"], start, end, Figures(**figures))


def worker_of(said: dict[str, Any]) -> WorkerView:
    """Return a worker."""
    started_ms, seen_ms = ms_of(said["started_at"]), ms_of(said["seen_at"])
    return WorkerView(int(said["id"]), said["name"], said["pid"], said["state"], started_ms, seen_ms, said["refused_writes"])


def audit_of(said: dict[str, Any]) -> AuditRow:
    """Return a line of the audit."""
    plain = {name: said[name] for name in ("actor", "source", "action", "target", "reason", "expected", "found", "changed")}
    more = {"address": said["address"] or "", "operation": said["operation"]}
    return AuditRow(id=int(said["id"]), at_ms=ms_of(said["at"]), **plain, **more)


def _class(text: str | None) -> FailureClass | None:
    return None if text is None else FailureClass(text)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def ms_of(text: str) -> int:
    """Return a moment in milliseconds since 1970 UTC."""
    return round(_time(text).timestamp() * 1000)


def maybe_ms_of(text: str | None) -> int | None:
    """Return a moment that may be missing, in milliseconds."""
    return None if text is None else ms_of(text)

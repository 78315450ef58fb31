"""Jobs, work items and what was done with them as JSON documents; the keys are stable."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from mulligan.cli.words import by_status, iso
from mulligan.client import Attempt
from mulligan.client.items import WorkItem
from mulligan.client.job import Job
from mulligan.engine.asking import Plan
from mulligan.engine.verify import Finding
from mulligan.gateway.causes import Cause, CauseSample
from mulligan.store.rows import AuditRow


def of_job(job: Job[Any]) -> dict[str, Any]:
    """Return a job as a document."""
    counts = job.counts
    return {
        "id": job.id,
        "task": job.task,
        "run_id": job.run_id,
        "kind": job.kind,
        "status": str(job.status),
        "label": job.label,
        "progress": round(job.progress, 1),
        "counts": {"total": counts.total} | {str(status): count for status, count in by_status(counts).items()},
        "labels": job.labels,
        "cancel_requested": job.cancel_requested,
        "error_message": job.error_message,
        "created_at": iso(job.created_at),
        "ended_at": iso(job.ended_at),
        "details_removed_at": iso(job.details_removed_at),
    }


def of_item(item: WorkItem) -> dict[str, Any]:
    """Return a work item as a document, without its attempts."""
    window = item.window
    return {
        "id": item.id,
        "job": item.job_id,
        "task": item.task,
        "parent": item.parent,
        "key": item.key,
        "window": None if window is None else {"start": window.start.isoformat(), "end": window.end.isoformat()},
        "args": item.args,
        "status": str(item.status),
        "label": item.label,
        "reason": str(item.reason),
        "generation": item.generation,
        "attempt": item.attempt,
        "failure_class": item.failure_class and str(item.failure_class),
        "cause": item.cause,
        "error_message": item.error_message,
        "result": item.result,
        "progress": round(item.progress, 1),
        "due_at": iso(item.due_at),
        "worker": item.worker,
        "safe_to_retry": item.safe_to_retry,
        "created_at": iso(item.created_at),
        "ended_at": iso(item.ended_at),
    }


def of_attempt(place: int, attempt: Attempt) -> dict[str, Any]:
    """Return an ended attempt as a document; `place` counts the item's attempts from 1."""
    return {
        "place": place,
        "generation": attempt.generation,
        "attempt": attempt.number,
        "outcome": str(attempt.outcome),
        "failure_class": attempt.failure_class and str(attempt.failure_class),
        "rule": attempt.rule,
        "cause": attempt.cause,
        "error_type": attempt.error_type,
        "error_message": attempt.error_message,
        "decision": str(attempt.decision),
        "delay_s": attempt.delay_s,
        "charged": attempt.charged,
        "claimed_at": iso(attempt.claimed_at),
        "started_at": iso(attempt.started_at),
        "ended_at": iso(attempt.ended_at),
        "rows": attempt.rows,
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
    }


def of_cause(cause: Cause, sample: CauseSample | None = None, *, whole: bool = False) -> dict[str, Any]:
    """Return a root cause as a document; `whole`: with why failures are counted as it, and one of them."""
    detail = {
        "version": cause.version,
        "why": [{"what": what, "value": value} for what, value in cause.why],
        "sample": None if sample is None else asdict(sample),
    }
    return {
        "id": cause.id,
        "failure_class": str(cause.failure_class),
        "error_type": cause.error_type,
        "title": cause.title,
        "failed_now": cause.failed_now,
        "failures": cause.failures,
        "pipelines": [
            {
                "pipeline": each.pipeline,
                "failed_now": each.failed_now,
                "failures": each.failures,
                "first_seen_at": each.first_seen.isoformat(timespec="milliseconds"),
                "last_seen_at": each.last_seen.isoformat(timespec="milliseconds"),
            }
            for each in cause.pipelines
        ],
        "first_seen_at": cause.first_seen.isoformat(timespec="milliseconds"),
        "last_seen_at": cause.last_seen.isoformat(timespec="milliseconds"),
    } | (detail if whole else {})


def of_plan(plan: Plan, *, dry_run: bool) -> dict[str, Any]:
    """Return what a command did, or with `dry_run` would do, as a document."""
    return {
        "total": plan.total,
        "dry_run": dry_run,
        "examples": plan.examples,
        "left_alone": dict(plan.skipped),
        "warnings": plan.warnings,
        "unsafe": {item: {"verdict": str(each.verdict), "evidence": each.evidence} for item, each in plan.judgements.items()},
    }


def of_finding(finding: Finding) -> dict[str, Any]:
    """Return an invariant that does not hold as a document."""
    return {
        "invariant": finding.invariant,
        "wrong": finding.wrong,
        "count": finding.count,
        "examples": finding.examples,
    }


def of_audit(row: AuditRow) -> dict[str, Any]:
    """Return a line of the audit as a document."""
    return {
        "id": row.id,
        "at": iso(row.at_ms),
        "actor": row.actor,
        "source": row.source,
        "action": row.action,
        "target": row.target,
        "reason": row.reason,
        "expected": row.expected,
        "found": _parsed(row.found),
        "changed": row.changed,
    }


def _parsed(found: str) -> Any:
    try:
        return json.loads(found)
    except ValueError:
        return found

"""From what an executor reports to what has happened to a work item: failures are classified here."""

from __future__ import annotations

from functools import lru_cache
from typing import assert_never

from pydantic_core import from_json

from mulligan.core import events
from mulligan.core.definition import Definition
from mulligan.core.events import AttemptEvent, Run
from mulligan.core.failure import Classification, Failure, RuleSet, classify, failure_from_json, failure_to_json
from mulligan.core.fingerprint import Fingerprint, fingerprint, of_unrecordable
from mulligan.core.job import FailureClass, Item, JobStatus, Reason
from mulligan.core.judged import MESSAGE_LENGTH, failed
from mulligan.core.replay import Past
from mulligan.core.submission import NewCall
from mulligan.engine.exchanging import Claim
from mulligan.sdk.ports import AMBIENT
from mulligan.worker.executors.interface import Call, Failed, Returned, Snoozed, Stopped, Succeeded


class Outcomes:
    """The rules by which this worker judges failures."""

    def __init__(self, project: RuleSet, default: RuleSet) -> None:
        self._rules = (project, default)
        self._known = lru_cache(maxsize=64)(self._judge)  # where something is down, thousands of attempts fail alike

    def judge(self, failure: Failure, definition: Definition) -> tuple[Classification, str, Fingerprint]:
        """Classify a failure of a task; returns its facts as JSON and its fingerprint as well."""
        return self._known(failure, definition.classify)

    @staticmethod
    def hidden(failure: Failure) -> Failure:
        """Return a failure without the secrets that this process knows."""
        if not AMBIENT.mask:
            return failure
        return failure_from_json(AMBIENT.mask.json(failure_to_json(failure)))

    def _judge(self, failure: Failure, rules: tuple[tuple[str, FailureClass], ...]) -> tuple[Classification, str, Fingerprint]:
        judged = classify(failure, rules, *self._rules)
        return judged, failure_to_json(failure), fingerprint(failure, judged.cause)

    @staticmethod
    def checkpoint(call: Call) -> tuple[str, str]:
        """Return key and JSON value of what an attempt wants saved; a cursor has no key."""
        if call.name == "cursor":
            return "", call.payload
        payload = from_json(call.payload)
        return payload["key"], payload["value"]


def ending(report: Succeeded | Failed | Snoozed | Stopped | Returned, claim: Claim, outcomes: Outcomes) -> AttemptEvent:
    """Return the event that a report of an attempt's end amounts to; reads nothing, since the store may be away."""
    item = claim.item
    worker = item.worker or 0
    match report:
        case Succeeded():
            run = Run(item.token, worker, report.ended_ms, report.started_ms, report.rows, report.pid)
            return events.Succeeded(run, report.result)
        case Returned():
            return events.Released(Run(item.token, worker, item.claimed_ms or 0))
        case Snoozed():
            run = Run(item.token, worker, report.ended_ms, report.started_ms, report.rows, report.pid)
            return events.Snoozed(run, report.delay_s)
        case Stopped():
            return events.Stopped(Run(item.token, worker, report.ended_ms, report.started_ms, report.rows, report.pid))
        case Failed():
            return _failed(report, claim, outcomes)
    assert_never(report)


def _failed(report: Failed, claim: Claim, outcomes: Outcomes) -> events.Failed:
    failure = outcomes.hidden(report.failure)
    item = claim.item
    judged, facts, cause = outcomes.judge(failure, claim.definition)
    run = Run(item.token, item.worker or 0, report.ended_ms, report.started_ms, report.rows, report.pid)
    return failed(run, failure, judged, facts, cause)


def unrecordable(item: Item, error: Exception) -> events.Failed:
    """Return the failure of an attempt that left something which cannot be recorded; it counts as a death of its process."""
    message = AMBIENT.mask.text(f"what the attempt left could not be recorded: {type(error).__name__}: {error}")
    return events.Failed(
        run=Run(item.token, item.worker or 0, item.claimed_ms or 0),
        failure_class=FailureClass.UNKNOWN,
        rule="unrecordable",
        error_type="unrecordable outcome",
        error_message=message.encode("utf-8", "replace").decode()[:MESSAGE_LENGTH],
        failure="",
        crashed=True,
        cause=of_unrecordable(type(error).__name__, str(error)),
    )


def refused_call(call: NewCall, round: int, error: Exception) -> Past:
    """Return what a call of a workflow comes to that cannot be stored."""
    message = AMBIENT.mask.text(f"the call could not be stored: {type(error).__name__}: {error}")[:MESSAGE_LENGTH]
    status, reason, kind = JobStatus.FAILURE, Reason.NOT_RETRIED, FailureClass.PERMANENT
    name = call.definition.name
    return Past(call.place, "none", name, call.digest, round, status, reason, kind, None, type(error).__name__, message)

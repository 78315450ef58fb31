"""Submitting from inside a running task: the call travels to the worker, which knows whose it is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from itertools import islice
from typing import Any, NoReturn

from mulligan.core.definition import definition_from_json, definition_to_json
from mulligan.core.errors import ArgumentsInvalid, Refused
from mulligan.core.submission import NewItem, Options, Submission
from mulligan.sdk.context import Context
from mulligan.sdk.continuing import current_traceparent
from mulligan.sdk.ports import Channel

MAX_ITEMS_INSIDE = 100_000
"""A task may submit this many items in one call: they travel in one message."""


class TaskBackend:
    """Takes what a running task submits, and hands it to the worker."""

    def __init__(self, channel: Channel, context: Context | None) -> None:
        self.context = context
        self._channel = channel
        self._occurrences: dict[str, int] = {}

    def take(self, submission: Submission) -> SubmittedInside:
        items = list(islice(submission.items, MAX_ITEMS_INSIDE + 1))
        if len(items) > MAX_ITEMS_INSIDE:
            raise ArgumentsInvalid(
                f"task {submission.definition.name!r}: a running task may submit at most {MAX_ITEMS_INSIDE:,} items in one call; "
                "split them, or submit from outside"
            )
        call = call_name(submission, items)
        place = self._occurrences[call] = self._occurrences.get(call, 0) + 1
        answer = self._channel.call("submit", submission_to_json(submission, items, f"{call}-{place}"))
        return SubmittedInside(**json.loads(answer))


class SubmittedInside:
    """A job that a task submitted: its id, its run id and its status at that moment; it cannot be waited for here."""

    def __init__(self, id: str, run_id: str, status: str) -> None:
        self.id = id
        self.run_id = run_id
        self.status = status

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        raise Refused(
            f"{name} of job {self.id}: a task cannot wait for or look after a job that it submitted, since both would hold "
            "a slot; write a function with @workflow that calls the tasks, or look at the job from outside"
        )

    def __repr__(self) -> str:
        return f"<job {self.id} {self.run_id}>"


def submission_to_json(submission: Submission, items: list[NewItem], call: str) -> str:
    """Return a submission as the payload of a channel's `submit`; `call` names the call among those of its attempt."""
    return json.dumps(
        {
            "call": call,
            "definition": definition_to_json(submission.definition),
            "kind": submission.kind,
            "items": items,
            "options": asdict(submission.options),
            "tz": submission.tz,
            "only": submission.only,
            "accept_risk": submission.accept_risk,
            "traceparent": current_traceparent(),
        }
    )


def submission_from_json(payload: str, caller: str) -> Submission:
    """Make the submission of a payload from a running task.

    `caller` is the id of the work item that submits. Without a run id of its own the submission gets one that follows
    from the caller and the call, the same in every attempt and generation, so that a retry does not submit twice.
    """
    values: dict[str, Any] = json.loads(payload)
    options = Options(**values["options"])
    if options.run_id is None:
        options = Options(**{**values["options"], "run_id": f"{caller}.{values['call']}"})
    return Submission(
        definition=definition_from_json(values["definition"]),
        kind=values["kind"],
        items=[NewItem(key, arguments, window and (window[0], window[1])) for key, arguments, window in values["items"]],
        options=options,
        tz=values["tz"],
        only=values["only"],
        accept_risk=values["accept_risk"],
        traceparent=values["traceparent"],
    )


def call_name(submission: Submission, items: list[NewItem]) -> str:
    """Return a name for what is submitted, the same whenever the same is."""
    digest = hashlib.sha256(json.dumps([submission.kind, items]).encode())
    return f"{submission.definition.name}-{digest.hexdigest()[:16]}"

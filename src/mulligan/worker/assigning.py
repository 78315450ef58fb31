"""From a claimed work item to what an executor needs of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mulligan.core.attempt import AttemptInfo, time_limit
from mulligan.core.definition import Definition
from mulligan.core.replay import Past, path_of, round_of
from mulligan.engine.exchanging import Claim
from mulligan.worker.executors.interface import Assignment


def assignment_of(
    id: int, claim: Claim, loaded: Definition, now_ms: int, calls: tuple[Past, ...] = (), traceparent: str | None = None
) -> Assignment:
    """Return the assignment for a claim; `loaded` is the task as it is loaded here, `traceparent` the span that it is."""
    item, definition = claim.item, claim.definition
    timeout_s, cutoff = time_limit(definition.timeout_s, item.cutoff_ms, now_ms)
    return Assignment(
        id=id,
        task=definition.name,
        arguments=claim.input.arguments,
        info=_info(claim, calls) if loaded.context or loaded.window or loaded.workflow else None,
        timeout_s=timeout_s,
        cutoff=cutoff,
        heartbeat_s=definition.heartbeat_timeout_s,
        memory_bytes=definition.memory_bytes,
        alone=item.crashes > 0,
        traceparent=traceparent,
    )


def places_of(
    claims: Sequence[Claim], traceparents: Callable[[Sequence[Claim]], Sequence[str | None]] | None
) -> Sequence[str | None]:
    """Return which spans the attempts are that begin, where traces are told."""
    return [None] * len(claims) if traceparents is None or not claims else traceparents(claims)


def _info(claim: Claim, calls: tuple[Past, ...]) -> AttemptInfo:
    item, window, saved = claim.item, claim.input.window, claim.saved
    path, epoch = path_of(claim.input.key) if claim.is_call else ("", 0)
    return AttemptInfo(
        job=str(item.job),
        run_id=claim.run_id,
        key=claim.input.key,
        number=item.number,
        attempt=item.attempt,
        generation=item.generation,
        window=None if window is None else (*window, claim.tz),
        cursor=saved.cursor if saved else None,
        steps=tuple(saved.steps.items()) if saved else (),
        keep_from=epoch or item.keep_from,
        path=path,
        round=round_of(item),
        calls=calls,
    )

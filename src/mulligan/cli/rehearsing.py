"""The command that tries a policy out without running anything: dryrun."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mulligan.cli import parsing
from mulligan.cli.shell import Shell, command
from mulligan.cli.table import Cell, Column
from mulligan.core.durations import words
from mulligan.core.errors import ConfigError, TaskError
from mulligan.core.job import Reason
from mulligan.core.labels import PLAIN, REASONS
from mulligan.core.retry import describe

if TYPE_CHECKING:
    from mulligan.sdk.rehearsing import Rehearsal, Step, Subject
    from mulligan.sdk.task import Task

Name = Annotated[str, typer.Argument(metavar="TASK", help="FILE:TASK, or the published name of a task.")]
Fail = Annotated[
    str, typer.Option("--fail", metavar="WORDS", help="What the attempts end with, such as 503*2,timeout,ok; then they succeed.")
]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Chooses the jitter; by chance if not given.", show_default=False)]
Takes = Annotated[str, typer.Option(metavar="DURATION", help="How long each attempt takes.")]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app, "dryrun pipeline.py:ingest --fail '503,503,timeout,ok' --seed 1")(dryrun)


def dryrun(shell: Shell, task: Name, fail: Fail, seed: Seed = None, takes: Takes = "0") -> int:
    """Show what a task's policy makes of failures, on a clock that only counts.

    Nothing is run, and nothing is stored. Exit code 0 if the last attempt succeeds, 1 if the policy gives up before.
    """
    from mulligan.sdk.induced import induce
    from mulligan.sdk.rehearsing import rehearse

    each_s = parsing.duration(takes, "--takes")
    subject, space = _subject(shell, task)
    try:
        failures = induce(fail, space)
    except ConfigError as error:
        raise typer.BadParameter(str(error), param_hint="--fail") from None
    chance: Callable[[], float] = random.random if seed is None else random.Random(seed).random  # noqa: S311 - jitter
    found = rehearse(subject, failures, float(each_s or 0), chance)  # type: ignore[arg-type]  # it was turned into seconds
    if shell.as_json:
        shell.document(_document(subject, found, seed))
    else:
        _show(shell, subject, found)
    return 0 if found.succeeded else 1


def _subject(shell: Shell, text: str) -> tuple[Subject, Mapping[str, Any]]:
    """Return the task that is meant, and the names of its module; loads the file that is named, else asks the store."""
    from mulligan.sdk.rehearsing import Subject
    from mulligan.sdk.trying import judge

    if ":" in text or text.endswith(".py"):
        found = _loaded(text)
        definition = found.definition()

        def judged(error: BaseException) -> Any:
            return judge(error, found.classify_error(error), definition.classify)

        space = found.fn.__globals__
    else:
        with shell.client.services.store.read() as session:
            _, definition = shell.client.services.definitions.current(session, text)
        judged, space = partial(judge, task_rules=definition.classify), {}
    return Subject(definition.name, definition.policy, judged, definition.timeout_s, definition.total_timeout_s), space


def _loaded(text: str) -> Task[Any, Any]:
    from mulligan.sdk.loading import load

    source, colon, name = text.rpartition(":")
    tasks = load([source if colon else text])
    if colon and name in tasks:
        return tasks[name]
    if not colon and len(tasks) == 1:
        return next(iter(tasks.values()))
    known = ", ".join(tasks)
    raise TaskError(f"{source if colon else text} defines {known}: write which one, such as {source or text}:{next(iter(tasks))}")


def _show(shell: Shell, subject: Subject, found: Rehearsal) -> None:
    shell.say(f"Task {subject.name}: {_limits(subject)}")
    for classes, retry in subject.policy.entries:
        shell.say(f"  {', '.join(classes)}: {describe(retry)}")
    columns = (
        Column("#", fixed=True, right=True),
        Column("AT", fixed=True, right=True),
        Column("ENDS WITH"),
        Column("CLASS", fixed=True),
        Column("RULE"),
        Column("DECISION", fixed=True),
        Column("WAIT", fixed=True, right=True),
    )
    shell.table(columns, [_row(step) for step in found.steps])
    for numbers, why in _reasons(found.steps):
        shell.say(f"{numbers}: {why}")
    ended_s = (found.item.ended_ms or 0) / 1000
    status = PLAIN.get(found.item.status, "Still retrying")
    counted = f"{len(found.steps):,} attempt{'' if len(found.steps) == 1 else 's'}"
    shell.say(f"{status} after {counted}, {_at(ended_s)} ({words(ended_s)}) from the beginning: {REASONS[found.reason]}")


def _reasons(steps: Sequence[Step]) -> Iterator[tuple[str, str]]:
    """Yield why attempts were judged and decided as they were, once for those in a row of which the same is true."""
    said = [(step.attempt.attempt, f"{step.judged.why}; {REASONS[step.attempt.reason]}") for step in steps if step.judged]
    for why, group in groupby(said, key=lambda each: each[1]):
        numbers = [number for number, _ in group]
        yield f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}", why


def _limits(subject: Subject) -> str:
    if subject.policy.at_most_once:
        said = ["no retries: runs at most once"]
    else:
        said = ["a budget for each line below; a class that is in none is not retried"]
    if subject.timeout_s is not None:
        said.append(f"timeout {words(subject.timeout_s)}")
    if subject.total_timeout_s is not None:
        said.append(f"total timeout {words(subject.total_timeout_s)}")
    return "; ".join(said)


def _row(step: Step) -> list[Cell]:
    attempt = step.attempt
    return [
        str(attempt.attempt),
        _at(attempt.claimed_ms / 1000),
        step.word,
        str(attempt.failure_class or ""),
        attempt.rule or "",
        str(attempt.reason),
        "" if attempt.delay_ms is None or _is_last(attempt.reason) else _at(attempt.delay_ms / 1000),
    ]


def _is_last(reason: Reason) -> bool:
    return reason not in (Reason.WILL_RETRY, Reason.SNOOZED)


def _at(moment_s: float) -> str:
    """Say a time to the millisecond: schedules are compared."""
    return f"{moment_s:,.3f}".rstrip("0").rstrip(".") + " s"


def _document(subject: Subject, found: Rehearsal, seed: int | None) -> dict[str, Any]:
    return {
        "task": subject.name,
        "seed": seed,
        "status": str(found.item.status),
        "reason": str(found.reason),
        "why": REASONS[found.reason],
        "ended_at_s": (found.item.ended_ms or 0) / 1000,
        "attempts": [_attempt(step) for step in found.steps],
    }


def _attempt(step: Step) -> dict[str, Any]:
    attempt = step.attempt
    waits = attempt.delay_ms is not None and not _is_last(attempt.reason)
    return {
        "attempt": attempt.attempt,
        "at_s": attempt.claimed_ms / 1000,
        "took_s": (attempt.ended_ms - attempt.claimed_ms) / 1000,
        "induced": step.word,
        "outcome": str(attempt.outcome),
        "failure_class": attempt.failure_class and str(attempt.failure_class),
        "rule": attempt.rule,
        "classified": step.judged and step.judged.why,
        "charged": attempt.charged,
        "decision": str(attempt.reason),
        "why": REASONS[attempt.reason],
        "planned_s": None if attempt.planned_ms is None else attempt.planned_ms / 1000,
        "wait_s": (attempt.delay_ms or 0) / 1000 if waits else None,
    }

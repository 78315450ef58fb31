"""What a workflow has called, as a tree: what failed, runs or waits is always there, what succeeded as far as there is room."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from mulligan.cli.table import cut
from mulligan.cli.words import STYLES
from mulligan.client.items import WorkItem
from mulligan.core.job import Counts, JobStatus
from mulligan.core.plain import one_line

SHOWN = 20
"""So many calls of one workflow are drawn."""
DEEP = 5
ARGUMENTS = 30
"""Of the arguments of a call so many characters are shown."""


def draw(item: WorkItem, width: int, *, fancy: bool, lead: str = "", depth: int = 0) -> Iterator[Text]:
    """Yield a line for each call of a workflow; nothing for what has called nothing."""
    counts = item.call_counts()
    shown = _chosen(item, counts)
    tee, bend, bar = ("├─ ", "└─ ", "│  ") if fancy else ("|- ", "`- ", "|  ")
    for place, call in enumerate(shown):
        last = place == len(shown) - 1 and len(shown) == counts.total
        yield _line(call, f"{lead}{bend if last else tee}", width)
        if depth < DEEP:
            yield from draw(call, width, fancy=fancy, lead=f"{lead}{'   ' if last else bar}", depth=depth + 1)
    if len(shown) < counts.total:
        done = counts.success - sum(each.status is JobStatus.SUCCESS for each in shown)
        yield Text(f"{lead}{bend}and {counts.total - len(shown):,} more, {done:,} of them with success", "dim")


def _chosen(item: WorkItem, counts: Counts) -> list[WorkItem]:
    """Return the calls to show, in their order."""
    if counts.total <= SHOWN:
        return item.calls() if counts.total else []
    telling = item.calls(SHOWN, status=[each for each in JobStatus if each is not JobStatus.SUCCESS])
    others = item.calls(SHOWN - len(telling), status=JobStatus.SUCCESS) if len(telling) < SHOWN else []
    return sorted((*telling, *others), key=lambda each: each.number)


def _line(call: WorkItem, lead: str, width: int) -> Text:
    arguments = cut(one_line(", ".join(f"{name}={value!r}" for name, value in call.args.items())), ARGUMENTS)
    line = Text(lead, "dim").append(one_line(call.task), "bold").append(f"({arguments})  {call.id}  ", "dim")
    line.append(call.label, STYLES[call.status])
    if call.generation > 1:
        line.append(f"  (generation {call.generation})", "dim")
    message = one_line((call.error_message or "").strip().partition("\n")[0])
    if message and call.status is not JobStatus.SUCCESS:
        line.append(f"  {cut(message, max(10, width - line.cell_len - 2))}")
    return line

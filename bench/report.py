"""The figures of all runs as tables for people."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.contender import ENTRIES, Entry
from bench.machine import as_lines
from bench.workloads import WORKLOADS, Figures


class Cell(NamedTuple):
    """All runs of one workload by one contender."""

    workload: str
    contender: str
    size: int
    runs: list[Figures]


def report(cells: Sequence[Cell], facts: Mapping[str, str], command: str) -> str:
    """Return everything as Markdown: what it was measured on, how, and a table for each workload."""
    lines = as_lines(facts, command, "; median, smallest to largest in brackets")
    lines += ["| contender | as it was set |", "| --- | --- |"]
    lines += [f"| {entry.title} | {entry.setting} |" for entry in _entries(cells)]
    for name in WORKLOADS:
        chosen = [each for each in cells if each.workload == name and each.runs]
        if chosen:
            lines += ["", *_table(name, chosen)]
    return "\n".join(lines) + "\n"


def _entries(cells: Sequence[Cell]) -> list[Entry]:
    return [entry for name, entry in ENTRIES.items() if any(each.contender == name for each in cells)]


def _table(name: str, cells: Sequence[Cell]) -> list[str]:
    """A row for each contender: there are more of them than of figures."""
    workload = WORKLOADS[name]
    lines = [
        f"**{workload.title}**",
        "",
        f"| contender | N | runs | {' | '.join(workload.measures.values())} |",
        "| --- | ---: | ---: |" + " ---: |" * len(workload.measures),
    ]
    for each in cells:
        values = [spread([run[measure] for run in each.runs if measure in run]) for measure in workload.measures]
        lines.append(f"| {ENTRIES[each.contender].title} | {each.size:,} | {len(each.runs)} | {' | '.join(values)} |")
    return lines


def spread(values: Sequence[float]) -> str:
    """Return the median, and the smallest and the largest where there are several."""
    if not values:
        return "–"
    middle = number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))}–{number(max(values))})"


def number(value: float) -> str:
    """Return a figure with as many digits as it is good for."""
    if value == float("inf"):
        return "never"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"

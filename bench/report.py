"""The figures of all runs as tables for people."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.contender import ENTRIES, Entry
from bench.workloads import WORKLOADS, Figures

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


class Cell(NamedTuple):
    """All runs of one workload by one contender."""

    workload: str
    contender: str
    size: int
    runs: list[Figures]


def report(cells: Sequence[Cell], facts: Mapping[str, str], command: str, runs: int) -> str:
    """Return everything as Markdown: what it was measured on, how, and a table for each workload."""
    lines = [f"- {name}: {value}" for name, value in facts.items()]
    lines += [f"- {entry.title}: executor {entry.executor}; synchronous {entry.durability}" for entry in _entries(cells)]
    lines += [f"- command: `{command}`; median of {runs}, smallest to largest in brackets"]
    for name in WORKLOADS:
        chosen = [each for each in cells if each.workload == name]
        if chosen:
            lines += ["", *_table(name, chosen)]
    return "\n".join(lines) + "\n"


def write_between(file: Path, text: str) -> None:
    """Put a text between the marks of a page; raises ValueError when they are not there."""
    page = file.read_text("utf-8")
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"{file}: expected one line {BEGIN} and one line {END}, between which the figures go")
    head, _, rest = page.partition(BEGIN)
    file.write_text(f"{head}{BEGIN}\n\n{text}\n{END}{rest.partition(END)[2]}", "utf-8")


def _entries(cells: Sequence[Cell]) -> list[Entry]:
    return [entry for name, entry in ENTRIES.items() if any(each.contender == name for each in cells)]


def _table(name: str, cells: Sequence[Cell]) -> list[str]:
    workload = WORKLOADS[name]
    heads = [f"{ENTRIES[each.contender].title} ({each.size:,})" for each in cells]
    lines = [f"| {workload.title} | {' | '.join(heads)} |", "| --- |" + " ---: |" * len(cells)]
    for measure, title in workload.measures.items():
        values = [_spread([run[measure] for run in each.runs if measure in run]) for each in cells]
        lines.append(f"| {title} | {' | '.join(values)} |")
    return lines


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "–"
    middle = _number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({_number(min(values))}–{_number(max(values))})"


def _number(value: float) -> str:
    if value == float("inf"):
        return "never"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"

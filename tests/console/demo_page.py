"""Writes a page with every picture, or those named by a word: python tests/console/demo_page.py FILE [--dark] [WORD…]."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from picture_values import NOW, an_attempt, an_item, counts_of, html, partitions_of

from mulligan.console.pictures.bars import bars
from mulligan.console.pictures.calendar import calendar
from mulligan.console.pictures.counts import counts_bar
from mulligan.console.pictures.gantt import Saved, gantt
from mulligan.console.pictures.picture import Picture
from mulligan.console.pictures.run_strip import run_strip
from mulligan.core.job import FailureClass, JobStatus, Outcome, Reason

S, F, R, P, G, X = (
    JobStatus.SUCCESS,
    JobStatus.FAILURE,
    JobStatus.RETRY,
    JobStatus.PENDING,
    JobStatus.STARTED,
    JobStatus.REVOKED,
)
SHEETS = ("console.css", "pictures.css")


def page(theme: str, asked: Sequence[str]) -> str:
    """Return the page."""
    static = Path(__file__).parents[2] / "src/mulligan/console/static"
    css = "".join((static / name).read_text("utf-8") for name in SHEETS)
    drawn = [(name, each) for name, each in pictures() if not asked or any(word in name for word in asked)]
    parts = "".join(f"<section><h2>{name}</h2>{html(each)}</section>" for name, each in drawn)
    head = f'<meta charset="utf-8"><title>Pictures</title><style>{css}</style>'
    return f'<!doctype html><html lang="en" data-theme="{theme}">{head}<main><h1>Pictures</h1>{parts}</main></html>'


def pictures() -> Iterator[tuple[str, Picture]]:
    """Yield each with a name."""
    yield "Retrying after long waits", retrying()
    yield "Running, recovered from a checkpoint", recovered()
    yield "Finished at the first attempt", gantt(an_item(S), [an_attempt(1, 0, 8.2)], NOW)
    yield "Waiting for its first attempt", gantt(an_item(P, due_s=3600), [], NOW)
    yield "Thirty attempts, two not charged", many()
    days = partitions_of("2024-01-01", "2025-03-05", [S] * 50 + [F] + [S] * 30 + [F, F, R, S, G] + [S] * 60 + [X], tail=(P, 40))
    yield "A year of days", calendar(days, "Europe/Zurich", path) or run_strip([])
    yield (
        "A month of days",
        calendar(partitions_of("2024-01-01", "2024-02-01", [S] * 9 + [F] + [S] * 12 + [R]), "UTC", path) or run_strip([]),
    )
    hours = partitions_of("2024-08-10", "2024-08-17", [S] * 20 + [F] + [S] * 11 + [R, G], every="1h", tail=(P, 20))
    yield "Hours", calendar(hours, "UTC", path) or run_strip([])
    yield (
        "A year of hours",
        calendar(partitions_of("2023-01-01", "2024-01-01", [S] * 300 + [F] * 30, every="1h"), "UTC", path) or run_strip([]),
    )
    yield "Years", calendar(partitions_of("1998-01-01", "2024-05-01", [S] * 800 + [F] * 30), "UTC", path) or run_strip([])
    weeks = partitions_of("2023-01-02", "2024-12-30", [S] * 20 + [F], every="7d")
    yield "Weeks", calendar(weeks, "UTC", path) or run_strip([])
    states = [S] * 6 + [F] + [S] * 4 + [X, S, S, F, F] + [S] * 9 + [R, G, P]
    yield "Runs", run_strip([(str(place), state, NOW + timedelta(hours=place)) for place, state in enumerate(states)])
    yield "Few runs", run_strip([("1", S, NOW), ("2", F, NOW + timedelta(hours=1))])
    yield "Counts", counts_bar(counts_of(success=9_802, failure=31, retry=4, started=2, pending=161))
    yield "Counts of a job that is done", counts_bar(counts_of(success=31))
    values = [97.2, 96.8, 99.1, None, 100.0, 88.4, 93.0, 99.7, 99.9, None, None, 0.0, 98.8, 99.2]
    weeks_said = [f"{NOW + timedelta(days=7 * place):%d %b}" for place in range(len(values))]
    yield "Success rate", bars(list(zip(weeks_said, values, strict=True)), "%", "Success rate by week")
    spent = [320.0, 45.2, 1200.0, None, 3700.0, 60.0, 15.0, 0.0]
    yield "Time to recovery", bars(list(zip(weeks_said, spent, strict=False)), "s", "Time to recovery by week")


def path(partition: object) -> str:
    """Return where a cell leads."""
    return f"/work-items/{getattr(partition, 'work_item', '')}"


def retrying() -> Picture:
    """Draw an item that waits for its fourth retry."""
    wait = Outcome.FAILED, FailureClass.TRANSIENT
    attempts = [
        an_attempt(1, 0, 8, *wait, delay_s=60, error="503 Slow Down from object-store"),
        an_attempt(2, 70, 6, Outcome.FAILED, FailureClass.RATE_LIMITED, delay_s=600),
        an_attempt(3, 690, 12, Outcome.LOST, FailureClass.INFRASTRUCTURE, delay_s=1200),
        an_attempt(4, 1910, 9, Outcome.TIMED_OUT, FailureClass.TIMEOUT, delay_s=3600),
    ]
    saved = [Saved(attempts[2].claimed_at + timedelta(seconds=5), "page 3")]
    now = attempts[-1].ended_at + timedelta(minutes=20)
    return gantt(an_item(R, due_s=1910 + 9 + 3600, deadline_s=86_400), attempts, now, saved)


def recovered() -> Picture:
    """Draw an item that was recovered by hand and runs."""
    attempts = [
        an_attempt(1, 5, 40, Outcome.FAILED, FailureClass.UNKNOWN, delay_s=20),
        an_attempt(2, 66, 45, Outcome.FAILED, FailureClass.PERMANENT, decision=Reason.NOT_RETRIED, charged=False),
        an_attempt(3, 200, 20, Outcome.SNOOZED, delay_s=30, generation=2, charged=False),
    ]
    saved = [Saved(NOW + timedelta(seconds=each), f"step {each}") for each in (15, 30, 80, 95)]
    item = an_item(G, generation=2, claimed_s=252, deadline_s=400)
    return gantt(item, attempts, NOW + timedelta(seconds=300), saved)


def many() -> Picture:
    """Draw an item with more attempts than there are rows."""
    failed = Outcome.FAILED, FailureClass.TRANSIENT
    attempts = [
        an_attempt(place + 1, place * 300, 3 + place % 5, *failed, delay_s=290, charged=place not in (20, 24))
        for place in range(30)
    ]
    return gantt(an_item(F), attempts, NOW + timedelta(hours=3))


if __name__ == "__main__":
    words = [each for each in sys.argv[2:] if not each.startswith("--")]
    Path(sys.argv[1]).write_text(page("dark" if "--dark" in sys.argv else "light", words), "utf-8")

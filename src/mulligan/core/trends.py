"""The figures of pipelines: what each is, as a formula over what was counted. Where nothing was counted there is no figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from mulligan.core.job import JobStatus
from mulligan.core.tallies import BUCKETS_S, INF, How, Measure, Tally

Every = Literal["day", "week"]
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Recoveries:
    """Successes that came after a failure of the same window or work item, and how long each took from the first failure on."""

    count: int
    mean_s: float | None
    p50_s: float | None
    """Estimated from buckets, as is `p90_s`: right to within the bucket that it is in."""
    p90_s: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one pipeline, or of several together, in a time. What ended in it counts, whenever it began."""

    succeeded: int
    """Generations of work items that ended in SUCCESS; so with `failed` and `revoked`."""
    failed: int
    revoked: int
    success_rate: float | None
    """succeeded / (succeeded + failed), from 0 to 1: what was cancelled is neither. None: nothing has ended."""
    first_try_rate: float | None
    """Of the work items whose first generation succeeded or failed, the share that succeeded in its first attempt."""
    attempts: dict[str, int]
    """Attempts that ended, by outcome."""
    failures: dict[str, int]
    """Attempts that failed, by failure class."""
    retries: dict[str, int]
    """Attempts that failed and were followed by another one by itself, by failure class."""
    again: dict[str, int]
    """Work items that somebody had run again: recovered, restarted, overwritten."""
    lost_s: float
    """Seconds that failed attempts took."""
    recoveries: Recoveries
    automatic: Recoveries
    """Those by their own retries."""
    manual: Recoveries
    """Those since somebody had it run again, or another job did the same window."""


@dataclass(frozen=True, slots=True)
class Trend:
    """The figures of a pipeline in a day or a week; `pipeline` None: of all together."""

    pipeline: str | None
    period: str
    """`2026-11-26`, or an ISO week such as `2026-W48`."""
    start: date
    end: date
    """The first day after it."""
    figures: Figures


def figures(rows: Iterable[Tally]) -> Figures:
    """Return the figures of all that was counted."""
    rows = list(rows)
    items = _by_kind(rows, Measure.ITEMS)
    succeeded, failed = items[JobStatus.SUCCESS], items[JobStatus.FAILURE]
    tried = [row for row in rows if row.measure == Measure.ITEMS and row.detail != "later" and row.kind != JobStatus.REVOKED]
    at_once = sum(row.value for row in tried if row.kind == JobStatus.SUCCESS and row.detail == "first_try")
    failures: Counter[str] = Counter()
    for row in rows:
        if row.measure == Measure.ATTEMPTS and row.detail:
            failures[row.detail] += row.value
    return Figures(
        succeeded=succeeded,
        failed=failed,
        revoked=items[JobStatus.REVOKED],
        success_rate=_share(succeeded, succeeded + failed),
        first_try_rate=_share(at_once, sum(row.value for row in tried)),
        attempts=dict(sorted(_by_kind(rows, Measure.ATTEMPTS).items())),
        failures=dict(sorted(failures.items())),
        retries=dict(sorted(_by_kind(rows, Measure.RETRIES).items())),
        again=dict(sorted(_by_kind(rows, Measure.AGAIN).items())),
        lost_s=sum(_by_kind(rows, Measure.LOST_MS).values()) / 1000,
        recoveries=recoveries(rows, ("automatic", "manual")),
        automatic=recoveries(rows, ("automatic",)),
        manual=recoveries(rows, ("manual",)),
    )


def recoveries(rows: Iterable[Tally], how: Sequence[How]) -> Recoveries:
    """Return how many there were, and how long they took."""
    rows = [row for row in rows if row.kind in how]
    buckets: Counter[str] = Counter()
    for row in rows:
        if row.measure == Measure.RECOVERIES:
            buckets[row.detail] += row.value
    count = sum(buckets.values())
    took_ms = sum(row.value for row in rows if row.measure == Measure.RECOVERY_MS)
    mean_s = took_ms / 1000 / count if count else None
    return Recoveries(count, mean_s, quantile_s(buckets, 0.5), quantile_s(buckets, 0.9))


def quantile_s(buckets: dict[str, int], share: float) -> float | None:
    """Return below which time a share of what is in buckets lies, in seconds, on a straight line within its bucket.

    None where they are empty. What took longer than the last bound is said to have taken as long as that.
    """
    wanted = share * sum(buckets.values())
    if not wanted:
        return None
    below, passed = 0.0, 0
    for bound in BUCKETS_S:
        here = buckets.get(str(bound), 0)
        if here and passed + here >= wanted:
            return below + (bound - below) * (wanted - passed) / here
        passed += here
        below = float(bound)
    return below


def cumulated(buckets: dict[str, int]) -> list[tuple[str, int]]:
    """Return for each bound how many took no longer; the last one, `INF`, has them all."""
    found, passed = [], 0
    for bound in (*(str(each) for each in BUCKETS_S), INF):
        passed += buckets.get(bound, 0)
        found.append((bound, passed))
    return found


def trends(rows: Iterable[Tally], names: dict[int, str], every: Every) -> list[Trend]:
    """Return the figures of each pipeline and period in which anything was counted, then those of all: the oldest first."""
    parts: dict[tuple[str, date], list[Tally]] = {}
    whole: dict[date, list[Tally]] = {}
    for row in rows:
        start = first_day(day_of(row.day), every)
        parts.setdefault((names[row.task], start), []).append(row)
        whole.setdefault(start, []).append(row)
    made = [_trend(name, start, every, found) for (name, start), found in sorted(parts.items(), key=lambda each: each[0][::-1])]
    return made + [_trend(None, start, every, found) for start, found in sorted(whole.items())]


def first_day(day: date, every: Every) -> date:
    """Return the first day of the period that a day is in: of its week the Monday."""
    return day if every == "day" else day - timedelta(days=day.weekday())


def next_period(start: date, every: Every) -> date:
    """Return the first day of the period after one."""
    return start + timedelta(days=1 if every == "day" else 7)


def day_of(number: int) -> date:
    """Return a day by its number since 1970."""
    return EPOCH + timedelta(days=number)


def number_of(day: date) -> int:
    """Return the number of a day since 1970."""
    return (day - EPOCH).days


def today(now_ms: int) -> date:
    """Return the day of a moment, UTC."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).date()


def _trend(name: str | None, start: date, every: Every, rows: list[Tally]) -> Trend:
    year, week, _ = start.isocalendar()
    period = start.isoformat() if every == "day" else f"{year}-W{week:02}"
    return Trend(name, period, start, next_period(start, every), figures(rows))


def _by_kind(rows: Iterable[Tally], measure: Measure) -> Counter[str]:
    found: Counter[str] = Counter()
    for row in rows:
        if row.measure == measure:
            found[row.kind] += row.value
    return found


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None

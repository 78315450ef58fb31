"""What holds for every picture, whatever it is drawn from."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_values import NOW, an_attempt, an_item, box, check_inside, counts_of, flat, html, shapes_of, table

from mulligan.api.models import Partition, Window
from mulligan.console.pictures.bars import bars
from mulligan.console.pictures.calendar import calendar
from mulligan.console.pictures.counts import counts_bar
from mulligan.console.pictures.gantt import Saved, gantt
from mulligan.console.pictures.picture import Glyph, Label, Link, Picture, Rect
from mulligan.console.pictures.run_strip import run_strip
from mulligan.core.job import FailureClass, JobStatus, Outcome, Reason

HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><svg onload=alert(1)>",
    "\x1b[31mred\x1b[0m\x07",
    "nul\x00and\ud800and\u202e",
    "]]>&amp;--><!--",
    "x" * 10_240,
    "日" * 300,
    "",
]
STATUSES = st.sampled_from(JobStatus)
SECONDS = st.one_of(st.integers(-100, 1_000), st.floats(-1e9, 1e9))
ATTEMPTS = st.lists(
    st.tuples(
        SECONDS,
        st.floats(-1_000, 1e7),
        st.sampled_from(Outcome),
        st.none() | st.sampled_from(FailureClass),
        st.none() | st.floats(0, 1e7),
        st.integers(1, 3),
        st.booleans(),
    ),
    max_size=30,
)
SAVED = st.lists(st.builds(lambda at, name: Saved(NOW + timedelta(seconds=at), name), SECONDS, st.text(max_size=20)), max_size=8)
MOMENTS = st.datetimes(datetime(1, 1, 4), datetime(9999, 12, 20), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive there


def some_gantt(draw: Callable[..., object]) -> Picture:
    made = draw(ATTEMPTS)
    assert isinstance(made, list)
    attempts = [
        an_attempt(place, began, took, outcome, failure_class, delay_s=delay, generation=generation, charged=charged)
        for place, (began, took, outcome, failure_class, delay, generation, charged) in enumerate(made, start=1)
    ]
    item = an_item(
        draw(STATUSES),
        due_s=draw(st.none() | SECONDS),
        claimed_s=draw(st.none() | SECONDS),
        deadline_s=draw(st.none() | SECONDS),
        generation=draw(st.integers(1, 3)),
        reason=draw(st.sampled_from(Reason)),
    )
    return gantt(item, attempts, NOW + timedelta(seconds=draw(SECONDS)), draw(SAVED))


def some_calendar(draw: Callable[..., object]) -> Picture:
    start = draw(MOMENTS)
    assert isinstance(start, datetime)
    gaps = draw(st.lists(st.one_of(st.integers(60, 90_000), st.integers(60, 10**9)), min_size=1, max_size=12))
    tz = draw(st.sampled_from(["UTC", "Europe/Zurich", "Pacific/Apia", "America/St_Johns"]))
    length = timedelta(seconds=draw(st.sampled_from([60, 3600, 21_600, 86_400, 604_800, 31 * 86_400])))
    last = datetime(9999, 12, 20, tzinfo=UTC) - length
    partitions = []
    for gap in gaps:
        if start > last:
            break
        window = Window(start=start, end=start + length, tz="UTC")
        partitions.append(Partition(window=window, status=draw(STATUSES), work_item=f"1-{len(partitions)}"))
        start += min(timedelta(seconds=gap), last + timedelta(seconds=1) - start)  # no further, since there is no year 10,000
    return calendar(partitions, tz, lambda each: f"/work-items/{each.work_item}") or run_strip([])


def some_strip(draw: Callable[..., object]) -> Picture:
    return run_strip(draw(st.lists(st.tuples(st.text(max_size=8), STATUSES, MOMENTS), max_size=40)))


def some_counts(draw: Callable[..., object]) -> Picture:
    return counts_bar(
        counts_of(**draw(st.dictionaries(st.sampled_from([each.lower() for each in JobStatus]), st.integers(0, 10**7))))
    )


def some_bars(draw: Callable[..., object]) -> Picture:
    value = st.none() | st.floats() | st.integers(0, 100)
    points = draw(st.lists(st.tuples(st.text(max_size=30), value), max_size=60))
    return bars(points, draw(st.sampled_from(["", "s", "%", "retries"])), draw(st.text(max_size=30)))


EVERY = [some_gantt, some_calendar, some_strip, some_counts, some_bars]


@pytest.mark.parametrize("some", EVERY)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_shape_is_inside_at_a_finite_place(some: Callable[..., Picture], data: st.DataObject) -> None:
    check_inside(some(data.draw))


def told_by_table(drawn: Picture) -> list[str]:
    """Return what the rows of a table say, as the picture says it of what can be pointed at."""
    forms = {
        "gantt": lambda row: f"{row[0]}: {row[6]}",
        "calendar": lambda row: f"{row[0]}: {row[1]}",
        "run-strip": lambda row: f"Job {row[0]}: {row[1]}, {row[2]} UTC",
        "counts": lambda row: f"{row[1]} {row[0]} ({row[2]})",
        "bars": lambda row: f"{row[0]}: {row[1]}",
    }
    return sorted(forms[drawn.kind](row) for row in table(drawn))


def told_by_picture(drawn: Picture) -> list[str]:
    if drawn.kind == "gantt":
        ends = [each.tip for each in flat(drawn) if isinstance(each, Glyph) and each.tip.startswith("#")]
        ghosts = [each.tip for each in shapes_of(drawn, "ghost") if isinstance(each, Rect) and each.tip]
        return sorted(ends + [f"{table(drawn)[-1][0]}: {each.removeprefix('the next attempt: ')}" for each in ghosts])
    return sorted(each.tip for each in drawn.shapes if isinstance(each, Link | Rect) and each.tip)


@pytest.mark.parametrize("some", EVERY)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_the_table_says_the_same_and_leads_to_the_same_places(some: Callable[..., Picture], data: st.DataObject) -> None:
    drawn = some(data.draw)
    assert all(len(row) == len(drawn.headers) for row in drawn.rows)
    assert told_by_picture(drawn) == told_by_table(drawn)
    links = sorted(each.href for each in drawn.shapes if isinstance(each, Link))
    assert links == sorted(cell.href for row in drawn.rows for cell in row if not isinstance(cell, str))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_rows_of_attempts_do_not_overlap(data: st.DataObject) -> None:
    drawn = some_gantt(data.draw)
    bars_drawn = [each for css in ("run", "waiting", "queued", "ghost") for each in shapes_of(drawn, css)]
    bands: dict[float, tuple[float, float]] = {}
    for shape in bars_drawn:
        if isinstance(shape, Rect) and shape.tip:
            _, top, _, bottom = box(shape)
            middle = (top + bottom) / 2
            low, high = bands.get(middle, (top, bottom))
            bands[middle] = (min(low, top), max(high, bottom))
    ordered = [bands[middle] for middle in sorted(bands)]
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ordered))
    assert len(bands) == len(drawn.rows)
    assert len({each.y for each in flat(drawn) if isinstance(each, Label) and each.css == "row-name"}) == len(drawn.rows)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_cells_of_calendars_do_not_overlap(data: st.DataObject) -> None:
    drawn = some_calendar(data.draw)
    places = [(each.x, each.y) for each in flat(drawn) if isinstance(each, Rect)]
    assert len(places) == len(set(places))


def pictures_of(text: str) -> list[Picture]:
    failed = an_attempt(1, 0, 5, Outcome.FAILED, FailureClass.UNKNOWN, delay_s=60, error=text or "?")
    item = an_item(JobStatus.RETRY, id=text, label=text, due_s=60)
    one = Partition(window=Window(start=NOW, end=NOW + timedelta(days=1), tz="UTC"), status=JobStatus.FAILURE, work_item=text)
    drawn = calendar([one], "UTC", lambda each: f"/work-items/{each.work_item}")
    assert drawn is not None
    return [
        gantt(item, [failed], NOW + timedelta(seconds=30), [Saved(NOW + timedelta(seconds=2), text)]),
        drawn,
        run_strip([(text, JobStatus.FAILURE, NOW)]),
        bars([(text, 1.0), (text, None)], text, text),
    ]


class Elements(HTMLParser):
    """Collects names of elements and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_are_shown_and_do_nothing(text: str) -> None:
    plain = Elements()
    for each in pictures_of("plain"):
        plain.feed(html(each))
    for each in pictures_of(text):
        shown = html(each)
        found = Elements()
        found.feed(shown)
        assert found.names <= plain.names
        assert found.attributes <= plain.attributes
        assert not set("\x00\x1b\x07\u202e\ud800") & set(shown) - set(text if each.kind == "calendar" else "")
        assert len(shown) < 60_000
        if each.kind != "calendar":
            check_inside(each)


@pytest.mark.parametrize("picture", pictures_of("plain"), ids=lambda each: each.kind)
def test_a_picture_is_well_formed_without_inline_styles_or_scripts_and_has_a_name_and_a_table(picture: Picture) -> None:
    shown = html(picture, root="/below")
    figure = ET.fromstring(shown.strip())  # noqa: S314 - our own
    svg, details = figure.find("svg"), figure.find("details")
    assert svg is not None
    assert details is not None
    assert figure.get("class") == f"picture {picture.kind}"
    assert svg.get("aria-label") == picture.title
    assert svg.get("role") == ("group" if figure.findall("svg/a") else "img")
    assert svg.get("focusable") == "false"
    assert len(details.findall("table/tbody/tr")) == len(picture.rows)
    every = list(figure.iter())
    assert not any(name == "style" or name.startswith("on") for each in every for name in each.attrib)
    assert not {"style", "script"} & {each.tag for each in every}
    assert all(each.get("href", "").startswith("/below/") for each in every if each.tag == "a")


def test_only_one_of_the_links_of_a_picture_is_a_stop_of_the_keyboard() -> None:
    """Of a strip it is the newest; arrows lead to the others, and the table has them all."""
    drawn = run_strip([(str(place), JobStatus.SUCCESS, NOW + timedelta(hours=place)) for place in range(30)])
    figure = ET.fromstring(html(drawn).strip())  # noqa: S314 - our own
    assert [each.get("tabindex") for each in figure.findall("svg/a")] == ["-1"] * 29 + [None]
    assert all(each.get("tabindex") is None for each in figure.findall("details//a"))


def test_a_sign_for_each_name() -> None:
    drawn = gantt(an_item(JobStatus.SUCCESS), [an_attempt(1, 0, 3)], NOW)
    assert all(each.path for each in flat(drawn) if isinstance(each, Glyph))

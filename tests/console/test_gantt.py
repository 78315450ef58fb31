"""The picture of a work item's attempts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from picture_values import NOW, an_attempt, an_item, flat, glyphs_of, labels_of, shapes_of, table

from mulligan.console.pictures.gantt import Saved, gantt
from mulligan.console.pictures.picture import Line, Picture, Rect
from mulligan.core.job import FailureClass, JobStatus, Outcome, Reason

SUCCESS, FAILURE, RETRY, STARTED, PENDING = (
    JobStatus.SUCCESS,
    JobStatus.FAILURE,
    JobStatus.RETRY,
    JobStatus.STARTED,
    JobStatus.PENDING,
)
FAILED, TRANSIENT = Outcome.FAILED, FailureClass.TRANSIENT


def rects(picture: Picture, css: str) -> list[Rect]:
    return [each for each in shapes_of(picture, css) if isinstance(each, Rect) and each.tip]


def later(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def test_each_attempt_has_a_row_with_its_name_and_what_came_of_it() -> None:
    attempts = [an_attempt(1, 0, 8, FAILED, TRANSIENT, delay_s=5), an_attempt(2, 13, 3)]
    drawn = gantt(an_item(SUCCESS), attempts, NOW + later(60))
    assert [each for each in labels_of(drawn) if each.startswith("#")] == ["#1", "#2"]
    assert "8 s, transient" in labels_of(drawn)
    assert "3 s, succeeded" in labels_of(drawn)
    assert [(row[0], row[5], row[6]) for row in table(drawn)] == [("#1", "8 s", "transient"), ("#2", "3 s", "succeeded")]


@pytest.mark.parametrize(
    ("outcome", "failure_class", "glyph", "letter"),
    [
        (Outcome.SUCCEEDED, None, "check", "S"),
        (FAILED, FailureClass.TRANSIENT, "wave", "T"),
        (FAILED, FailureClass.RATE_LIMITED, "hourglass", "L"),
        (Outcome.LOST, FailureClass.INFRASTRUCTURE, "bolt", "I"),
        (Outcome.TIMED_OUT, FailureClass.TIMEOUT, "clock", "O"),
        (FAILED, FailureClass.PERMANENT, "cross", "P"),
        (FAILED, FailureClass.UNKNOWN, "question", "U"),
        (Outcome.CANCELLED, None, "stopped", "C"),
        (Outcome.SNOOZED, None, "moon", "Z"),
    ],
)
def test_the_end_of_an_attempt_has_a_sign_and_a_letter(
    outcome: Outcome, failure_class: FailureClass | None, glyph: str, letter: str
) -> None:
    drawn = gantt(an_item(FAILURE), [an_attempt(1, 0, 8, outcome, failure_class)], NOW + later(60))
    assert glyph in glyphs_of(drawn, "ending")
    assert letter in labels_of(drawn)


def test_a_wait_is_hatched_and_what_is_still_to_come_of_it_is_fainter() -> None:
    attempts = [an_attempt(1, 0, 10, FAILED, TRANSIENT, delay_s=20)]
    drawn = gantt(an_item(RETRY, due_s=30), attempts, NOW + later(20))
    past, ahead = [each for each in shapes_of(drawn, "hatch") if isinstance(each, Line) and each.tip]
    assert "ahead" not in past.css
    assert "ahead" in ahead.css
    assert past.x2 == ahead.x1


def test_the_next_attempt_is_a_ghost_that_begins_when_it_is_due() -> None:
    attempts = [an_attempt(1, 0, 10, FAILED, TRANSIENT, delay_s=20)]
    drawn = gantt(an_item(RETRY, due_s=30), attempts, NOW + later(20))
    (ghost,) = rects(drawn, "ghost")
    (wait,) = rects(drawn, "waiting")
    assert ghost.x == pytest.approx(wait.x + wait.width)
    assert "next in 10 s" in labels_of(drawn)
    assert table(drawn)[-1][6] == "due 2024-08-12 10:00:30; Retrying (in 5 minutes)"


def test_what_is_overdue_is_due_now_and_queued_since() -> None:
    attempts = [an_attempt(1, 0, 10, FAILED, TRANSIENT, delay_s=20)]
    drawn = gantt(an_item(RETRY, due_s=30), attempts, NOW + later(50))
    assert "due now" in labels_of(drawn)
    assert table(drawn)[-1][1:3] == ("20 s", "20 s")


def test_a_run_under_way_reaches_to_now() -> None:
    drawn = gantt(an_item(STARTED, claimed_s=5), [], NOW + later(50))
    (run,) = rects(drawn, "run")
    (now,) = [each for each in shapes_of(drawn, "present") if isinstance(each, Line)]
    assert now.x1 == pytest.approx(run.x + run.width)
    assert table(drawn) == [("#1", "5 s", "–", "2024-08-12 10:00:05", "–", "45 s", "running", "–", "–", "–")]


def test_only_a_failure_that_was_charged_to_nothing_is_outlined() -> None:
    attempts = [
        an_attempt(1, 0, 8, FAILED, TRANSIENT, charged=True),
        an_attempt(2, 10, 8, FAILED, TRANSIENT, charged=False),
        an_attempt(3, 20, 8),
    ]
    drawn = gantt(an_item(SUCCESS), attempts, NOW + later(60))
    assert ["uncharged" in each.css for each in rects(drawn, "run")] == [False, True, False]
    assert [row[7] for row in table(drawn)] == ["yes", "no", "–"]


def test_checkpoints_are_ticks_and_recover_starts_at_the_last_that_counts() -> None:
    attempts = [an_attempt(1, 0, 100, FAILED, TRANSIENT)]
    saved = [Saved(NOW + later(20), "one"), Saved(NOW + later(60), "two"), Saved(NOW + later(80), "three", counts=False)]
    drawn = gantt(an_item(FAILURE), attempts, NOW + later(200), saved)
    ticks = [each for each in shapes_of(drawn, "checkpoint") if isinstance(each, Line)]
    (mark,) = [each for each in shapes_of(drawn, "recover") if isinstance(each, Line)]
    assert len(ticks) == 3
    assert mark.x1 == ticks[1].x1
    assert "recover starts here" in labels_of(drawn)
    assert "recover starts after checkpoint two" in drawn.title
    assert table(drawn)[0][9] == "3: one, two, three"


def test_nothing_can_be_recovered_where_it_succeeded() -> None:
    drawn = gantt(an_item(SUCCESS), [an_attempt(1, 0, 100)], NOW + later(200), [Saved(NOW + later(20), "one")])
    assert "recover starts here" not in labels_of(drawn)


def test_very_many_checkpoints_are_as_many_ticks_as_can_be_told_apart() -> None:
    saved = [Saved(NOW + later(each / 100), f"page {each}") for each in range(10_000)]
    drawn = gantt(an_item(FAILURE), [an_attempt(1, 0, 100, FAILED, TRANSIENT)], NOW + later(200), saved)
    assert 100 < len(shapes_of(drawn, "checkpoint")) < 200
    assert table(drawn)[0][9] == "10000: page 0, page 1, page 2, page 3, page 4, …"


def test_only_the_newest_attempts_are_drawn_and_it_says_how_many_are_left_out() -> None:
    attempts = [an_attempt(place, place * 10, 5, FAILED, TRANSIENT, delay_s=5) for place in range(1, 41)]
    drawn = gantt(an_item(RETRY, due_s=420), attempts, NOW + later(410))
    assert [row[0] for row in table(drawn)] == [f"#{place}" for place in range(17, 42)]
    assert "16 earlier attempts are not drawn" in labels_of(drawn)
    assert "the newest 25, 16 earlier ones are left out" in drawn.title
    assert table(drawn)[0][2] == "5 s"


def test_attempts_of_a_later_page_say_that_there_were_earlier_ones() -> None:
    drawn = gantt(an_item(FAILURE), [an_attempt(3, 500, 5, FAILED, TRANSIENT)], NOW + later(600))
    assert "2 earlier attempts are not drawn" in labels_of(drawn)
    assert table(drawn)[0][1] == "–"


def test_runs_stay_visible_where_waits_are_much_longer_and_the_scale_says_where_it_is_broken() -> None:
    attempts = [an_attempt(1, 0, 10, FAILED, TRANSIENT, delay_s=36_000), an_attempt(2, 36_010, 10)]
    drawn = gantt(an_item(SUCCESS), attempts, NOW + later(40_000))
    assert all(each.width > 50 for each in rects(drawn, "run"))
    assert [each.tip for each in rects(drawn, "broken")] == ["10 h without a run, drawn shorter"]
    assert len(glyphs_of(drawn, "axis-break")) == 1
    assert "time drawn shorter" in labels_of(drawn)


def test_a_scale_of_runs_and_waits_alike_is_not_broken() -> None:
    attempts = [an_attempt(1, 0, 10, FAILED, TRANSIENT, delay_s=30), an_attempt(2, 40, 10)]
    assert rects(gantt(an_item(SUCCESS), attempts, NOW + later(60)), "broken") == []


def test_a_run_of_no_length_has_a_bar() -> None:
    attempts = [an_attempt(1, 0, 0, FAILED, TRANSIENT, delay_s=30), an_attempt(2, 30, 60)]
    assert min(each.width for each in rects(gantt(an_item(SUCCESS), attempts, NOW), "run")) >= 3


@pytest.mark.parametrize(
    ("status", "reason", "drawn"),
    [
        (RETRY, Reason.WILL_RETRY, True),
        (FAILURE, Reason.CUTOFF, True),
        (FAILURE, Reason.BUDGET_SPENT, False),
        (SUCCESS, Reason.SUCCEEDED, False),
    ],
)
def test_a_deadline_is_drawn_where_it_still_matters_or_was_the_end(status: JobStatus, reason: Reason, drawn: bool) -> None:
    item = an_item(status, deadline_s=100, due_s=40 if status is RETRY else None, reason=reason)
    picture = gantt(item, [an_attempt(1, 0, 10, FAILED, TRANSIENT)], NOW + later(20))
    assert ("deadline" in labels_of(picture)) is drawn
    assert ("deadline 2024-08-12 10:01:40 UTC" in picture.title) is drawn


def test_words_below_do_not_stand_on_one_another() -> None:
    item = an_item(STARTED, claimed_s=0, deadline_s=50)
    drawn = gantt(item, [], NOW + later(50), [Saved(NOW + later(49), "one")])
    places = {
        each.text: each.y
        for each in flat(drawn)
        if each.css.startswith("mark") and not isinstance(each, Line | Rect) and hasattr(each, "text")
    }
    assert len(set(places.values())) == 3


def test_an_item_that_has_not_begun_and_may_not_has_no_rows() -> None:
    drawn = gantt(an_item(JobStatus.REVOKED), [], NOW)
    assert labels_of(drawn) == ["No attempt yet."]
    assert drawn.rows == ()


def test_generations_are_told_apart() -> None:
    attempts = [an_attempt(1, 0, 10, FAILED, TRANSIENT), an_attempt(2, 50, 10, generation=2)]
    drawn = gantt(an_item(SUCCESS, generation=2), attempts, NOW + later(99))
    assert "#2 gen 2" in labels_of(drawn)
    assert len(shapes_of(drawn, "generation")) == 1

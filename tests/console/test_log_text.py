"""The end of a log as a page has it."""

from __future__ import annotations

from mulligan.console.log_text import parts_of


def test_pieces_of_one_attempt_are_one_text_and_attempts_stay_apart() -> None:
    assert parts_of([(1, "a\n"), (1, "b\n"), (2, "c\n")]) == ([(1, "a\nb\n"), (2, "c\n")], False)


def test_what_steers_a_terminal_is_taken_out_also_where_it_is_cut_in_two() -> None:
    assert parts_of([(1, "\x1b[3"), (1, "1mred\x1b[0m \0<b>")]) == ([(1, "red <b>")], False)


def test_of_much_the_last_lines_are_kept_and_it_is_said_that_there_was_more() -> None:
    parts, cut = parts_of([(1, "old\n" * 10), (2, "first\nsecond\nthird\n")], most=15)
    assert (parts, cut) == ([(2, "second\nthird\n")], True)


def test_of_one_long_line_its_end_is_kept() -> None:
    assert parts_of([(1, "x" * 20 + "y" * 5)], most=5) == ([(1, "yyyyy")], True)


def test_nothing_is_nothing() -> None:
    assert parts_of([]) == ([], False)

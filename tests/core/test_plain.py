"""Text of users' data is harmless to whatever shows it, and loses no more than it must."""

from __future__ import annotations

import pytest

from mulligan.core.plain import one_line, plain, without_control

STEERING = [
    *map(chr, range(9)),
    *map(chr, range(0x0B, 0x20)),
    *map(chr, range(0x7F, 0xA0)),
    "\u200e",
    "\u2028",
    "\u202e",
    "\u2066",
]


@pytest.mark.parametrize("character", STEERING, ids=ascii)
def test_what_steers_a_terminal_or_turns_a_text_round_is_written_out_or_left_out(character: str) -> None:
    assert plain(f"a{character}é") == f"a{character!r}é".replace("'", "")
    assert without_control(f"a{character}é") == ("a\né" if character == "\r" else "aé")


def test_newlines_tabs_and_letters_of_all_languages_stay() -> None:
    text = "a\tb\nÄ 漢 😀 \\ '"
    assert plain(text) == without_control(text) == text


def test_a_text_on_one_line_has_single_spaces_and_nothing_that_steers() -> None:
    assert one_line("  a\n\n b\t c\x07 ") == "a b c\\x07"
    assert one_line(None) == one_line("") == ""


def test_sequences_of_terminals_leave_nothing_of_themselves() -> None:
    assert without_control("\x1b[1;31mred\x1b[0m \x1b]0;title\x07and \x1b]8;;http://x\x1b\\link\x1b(B") == "red and link"
    assert without_control("a \x1b]0;never ended\nb") == "a ]0;never ended\nb", "what does not end hides no line"


def test_a_carriage_return_ends_a_line() -> None:
    assert without_control("10 %\r20 %\r\ndone\r\n") == "10 %\n20 %\ndone\n"

"""The museum of bugs: every one can still be brought back, and some of them are, to see that they are found."""

from __future__ import annotations

import pytest
from bug import SIMULATION, Bug
from exhibits import BUGS
from showing import SOURCE, broken, show

QUICK = [each for each in BUGS if each.finder == SIMULATION][1:4]


@pytest.mark.parametrize("bug", BUGS, ids=lambda each: each.name)
def test_what_a_bug_replaces_is_in_the_code(bug: Bug) -> None:
    assert broken(bug) != (SOURCE / bug.file).read_text("utf-8"), "it changes nothing, so what is found is something else"


def test_there_are_at_least_twenty_five_different_ones() -> None:
    assert len({(each.file, each.wrong, each.right) for each in BUGS}) >= 25


@pytest.mark.parametrize("bug", QUICK, ids=lambda each: each.name)
def test_a_bug_that_comes_back_is_found(bug: Bug) -> None:
    found = show(bug)
    assert found.found, found.said

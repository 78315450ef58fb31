"""Pages that are printed from the code are as the code is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mulligan.testing.pages import PAGES, write_pages

DOCUMENTS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_a_printed_page_is_up_to_date(name: str) -> None:
    assert (DOCUMENTS / name).read_text("utf-8") == PAGES[name](), "run `make docs`"


def test_pages_are_written_only_where_they_changed(tmp_path: Path) -> None:
    assert write_pages(tmp_path) == [tmp_path / name for name in PAGES]
    assert write_pages(tmp_path) == []


def test_every_test_that_the_page_about_security_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (DOCUMENTS / "security.md").read_text("utf-8")))
    there = {
        name
        for file in (DOCUMENTS.parent / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)\(", file.read_text("utf-8"))
    }
    assert len(named) > 25
    assert named <= there


def test_the_page_about_the_api_names_every_code_that_it_answers() -> None:
    page = (DOCUMENTS / "rest.md").read_text("utf-8")
    code = re.compile(r"""(?:code = |_Refused\(\d+, |problem\(\d+, |\d+: )"(\w+)\"""")
    sources = [file.read_text("utf-8") for file in (DOCUMENTS.parent / "src" / "mulligan" / "api").glob("*.py")]
    named = {each for text in sources for each in code.findall(text)} - {"GET", "POST", "PUT"}
    assert len(named) > 8
    assert {each for each in named if f"`{each}`" not in page} == set()

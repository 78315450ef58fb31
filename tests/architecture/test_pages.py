"""Pages that are printed from the code are as the code is."""

from __future__ import annotations

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

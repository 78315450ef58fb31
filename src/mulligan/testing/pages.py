"""Writes the pages that are printed from the code: `python -m mulligan.testing.pages [FOLDER]`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from mulligan.core.lifecycle_table import lifecycle_table

PAGES: dict[str, Callable[[], str]] = {"lifecycle.md": lifecycle_table}


def write_pages(folder: Path) -> list[Path]:
    """Write all pages into a folder; returns those that changed."""
    changed = []
    for name, printed in PAGES.items():
        page = folder / name
        if not page.exists() or page.read_text("utf-8") != printed():
            page.write_text(printed(), "utf-8")
            changed.append(page)
    return changed


if __name__ == "__main__":
    for each in write_pages(Path(sys.argv[1] if len(sys.argv) > 1 else "docs")):
        sys.stdout.write(f"{each} was written\n")

"""Writes the pages that are printed from the code: `python -m mulligan.testing.pages [FOLDER]`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from mulligan.core.lifecycle_table import lifecycle_table


def openapi() -> str:
    """Return the OpenAPI document of the API."""
    from mulligan.api.application import application, document
    from mulligan.app import Services
    from mulligan.config.settings import load_settings

    services = Services(load_settings(database="sqlite:///:memory:"))
    try:
        made = document(application(services.served(lambda: True)))
    finally:
        services.close()
    return json.dumps(made, indent=1, ensure_ascii=True) + "\n"


PAGES: dict[str, Callable[[], str]] = {"lifecycle.md": lifecycle_table, "openapi.json": openapi}


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

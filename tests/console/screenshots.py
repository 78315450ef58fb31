"""`make screenshots`: a picture of every page of the console, light and dark, wide and narrow.

On a store that was made for it, or with `--url` and a key in MULLIGAN_API_KEY on a server that runs (`make demo ARGS=--stay`):
then its pages are found by following links.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "api"))

from browsing import HOW_TO_GET, NARROW, WIDE, Chromium, View, Visit, chromium_path, visit
from playwright.sync_api import Browser
from seeded import seeded
from serving_seeds import served

from mulligan.core.access import Role

EACH = 3
"""So many pages of one kind are taken where links are followed."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What pictures are taken of; without pages they are found by their links."""

    url: str
    key: str
    pages: list[str]


def main() -> int:
    """Take the pictures, and say of which pages none could be taken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/screenshots"))
    parser.add_argument("--url", help="a server that runs, instead of a store made for it; its key in MULLIGAN_API_KEY")
    parser.add_argument("--all", action="store_true", help="all ids of the store made for it, not only some of each kind")
    given = parser.parse_args()
    path = chromium_path()
    if path is None:
        sys.stderr.write(f"{HOW_TO_GET}\n")
        return 1
    with tempfile.TemporaryDirectory() as profile:
        chromium = Chromium(path, Path(profile))
        try:
            with chromium.awake() as browser, _subject(given.url, all_ids=given.all) as subject:
                return take(browser, subject, given.folder)
        finally:
            chromium.close()


def take(browser: Browser, subject: Subject, folder: Path) -> int:
    """Write the pictures into a folder and return an exit code: 1 where a page broke."""
    broken: list[str] = []
    pages = subject.pages or _linked(visit(browser, subject.url, subject.key))
    folder.mkdir(parents=True, exist_ok=True)
    for dark, size in product((False, True), (WIDE, NARROW)):
        view = View(dark=dark, size=size, reduced_motion=True)
        found = visit(browser, subject.url, subject.key, view)
        for page in pages:
            answer = found.page.goto(subject.url + page)
            if answer is None or answer.status >= 500:
                broken.append(f"{page}: {answer and answer.status}")
            found.page.screenshot(path=folder / f"{name_of(page)}.{view}.png", full_page=True)
        found.context.close()
    sys.stdout.write(f"{len(pages)} pages, {4 * len(pages)} pictures in {folder}\n")
    for each in broken:
        sys.stdout.write(f"broken: {each}\n")
    return 1 if broken else 0


def name_of(page: str) -> str:
    """Return a page's path as the name of a file."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", page).strip("_") or "overview"


@contextmanager
def _subject(url: str | None, *, all_ids: bool) -> Iterator[Subject]:
    if url is not None:
        yield Subject(url.rstrip("/"), os.environ.get("MULLIGAN_API_KEY", ""), [])
        return
    with served(seeded()) as site:
        yield Subject(site.url, site.keys[Role.OPERATOR], site.pages if all_ids else site.kinds)


def _linked(found: Visit) -> list[str]:
    """Return the pages of a server, found by following links from its first; of pages that differ only in an id a few."""
    pages, left, kinds = ["/login"], ["/"], dict[str, int]()
    while left:
        page = left.pop(0)
        kind = re.sub(r"/[0-9]+(-[0-9]+)?\b|(?<==)[^&]*", "/ID", page)
        if page in pages or kinds.get(kind, 0) >= EACH or "#" in page:
            continue
        kinds[kind] = kinds.get(kind, 0) + 1
        pages.append(page)
        found.page.goto(found.url + page)
        # Not link.href, which is no text where the link is part of a picture.
        hrefs = found.page.eval_on_selector_all(
            "a[href]", "links => links.map(link => new URL(link.getAttribute('href'), location).href)"
        )
        ours = [href.removeprefix(found.url) for href in hrefs if href.startswith(found.url + "/")]
        left += [each for each in ours if not each.startswith("/api/")]  # which are no pages
    found.context.close()
    return pages


if __name__ == "__main__":
    sys.exit(main())

"""The page of figures: each part of the benchmarks writes between marks of its own."""

from __future__ import annotations

import argparse
from pathlib import Path


def marks(part: str) -> tuple[str, str]:
    """Return the lines between which the figures of a part stand."""
    return f"<!-- figures of {part}: begin -->", f"<!-- figures of {part}: end -->"


def write_between(file: Path, part: str, text: str) -> None:
    """Put a text between the marks of its part; raises ValueError when they are not there."""
    page = file.read_text("utf-8")
    begin, end = marks(part)
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"{file}: expected one line {begin} and one line {end}, between which the figures go")
    head, _, rest = page.partition(begin)
    file.write_text(f"{head}{begin}\n\n{text.strip()}\n\n{end}{rest.partition(end)[2]}", "utf-8")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a part's command what all of them have."""
    parser.add_argument("--folder", type=Path, help="where stores are made: on a real disk (the system's temporary folder)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the figures into this page, between their marks")


def publish(text: str, part: str, page: Path | None) -> None:
    """Print what was measured, and put it into the page if one is named."""
    print(text, flush=True)
    if page is not None:
        write_between(page, part, text)

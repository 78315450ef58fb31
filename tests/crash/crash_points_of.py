"""Which crash points there are: found by telling the stories once with nobody killed; and one case for each of some passes."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from crash_many import AskedForMany, ServedMany
from crash_story import Asked, Called, Served, Story, World

from mulligan.store.postgres import Place
from mulligan.testing.postgres import PostgresServer

KINDS = {
    "asks to bulk": AskedForMany,
    "asks to keys": AskedForMany,
    "operator who asks": Asked,
    " REST server: ": ServedMany,
    " server: ": Served,
    " workflow: ": Called,
}
"""Stories by who dies in them; everybody else dies in the first one."""


TRIES = 4


@contextlib.contextmanager
def a_world(store: str, url: str | None = None) -> Iterator[World]:
    """A world of its own; on PostgreSQL on the server of a URL, or on one of its own."""
    with tempfile.TemporaryDirectory(prefix="crash-") as folder, contextlib.ExitStack() as stack:
        place = None
        if store == "postgres":
            if url is None:
                server = PostgresServer()
                stack.callback(server.close)
                url = server.url
            place = Place(url, Path(folder).name.replace("-", "_").lower())
        world = World(Path(folder), place)
        stack.callback(world.close)
        yield world


def recorded(store: str, url: str | None = None) -> dict[str, int]:
    """Return the names of all points, and how often a process passed each at most."""
    passes: dict[str, int] = {}
    for kind in (Story, *dict.fromkeys(KINDS.values())):
        with a_world(store, url) as world:
            record = world.folder / "points"
            kind(world, record=record).run()
            for line in record.read_text("utf-8").splitlines():
                count, _, name = line.partition(" ")
                passes[name] = max(passes.get(name, 0), int(count))
    return dict(sorted(passes.items()))


def cases(passes: dict[str, int], *, first: bool = False) -> list[str]:
    """Return where to kill: at the first, the second and the last pass of each point, or at the first only.

    In the story of a workflow at every pass: each of its calls is a place of its own.
    """
    return [f"{count} {name}" for name, most in passes.items() for count in _counts(name, most, first=first)]


def _counts(name: str, most: int, *, first: bool) -> list[int]:
    if first:
        return [1]
    return list(range(1, most + 1)) if name.startswith("workflow: ") else sorted({1, min(2, most), most})


def tell(store: str, at: str, url: str | None = None) -> bool:
    """Tell the story in which a process dies at a point; returns whether one did. AssertionError: it ended as it must not."""
    kind = next((kind for word, kind in KINDS.items() if word in at), Story)
    with a_world(store, url) as world:
        story = kind(world, at=at)
        story.run()
        return story.killed


def verdict(store: str, at: str, url: str | None = None) -> str:
    """Tell a story and return how it went: `ok`, `not reached` (which chance may bring once or twice), or what went wrong."""
    try:
        for _ in range(TRIES):
            if tell(store, at, url):
                said = "ok"
                break
            if not at.startswith("1 "):
                return "not reached"
        else:
            said = "not reached"
    except Exception as wrong:
        said = f"{type(wrong).__name__}: {str(wrong)[:300]}"
    print(f"{at}: {said}", file=sys.stderr, flush=True)
    return said

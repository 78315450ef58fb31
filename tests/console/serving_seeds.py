"""The console on a store that was made by hand, served in this process: nothing in it moves but what a visitor asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from api_harness import served_of
from seeded import ANN, Seeded

from mulligan.api.application import application, guarded
from mulligan.api.served import Served
from mulligan.api.serving import ApiServer, Place
from mulligan.console.application import Console
from mulligan.core.access import Role
from mulligan.engine.keys import Keys


@dataclass(frozen=True, slots=True)
class Site:
    """A console that is served, a key for each role, and what is in its store."""

    url: str
    keys: dict[Role, str]
    seeds: Seeded
    pages: list[str]
    """Every page that can be opened, ids filled in."""
    kinds: list[str]
    """Those of them that differ in more than their data."""
    told: list[str]


@contextmanager
def served(seeds: Seeded) -> Iterator[Site]:
    """Serve the console on seeds."""
    told: list[str] = []
    harness = seeds.harness
    keys = Keys(harness.engine)
    texts = {role: keys.create(f"the {role}", role, None, ANN).text for role in Role}
    made = served_of(harness, keys, lambda event, **facts: told.append(f"{event} {facts}"))
    app = guarded(made, Console(made))
    server = ApiServer(app, Place("127.0.0.1", 0), app.stop)
    server.start()
    try:
        paths = _paths(made)
        yield Site(server.url, texts, seeds, pages_of(seeds, paths), pages_of(seeds.few(), paths), told)
    finally:
        server.stop()


def _paths(made: Served) -> list[str]:
    """Return the paths of all pages, in the words of the routes."""
    found = application(made, Console(made)).routes
    pages = [each.path for each in found if "GET" in getattr(each, "methods", ()) and _is_page(each)]
    return [*pages, "/login"]


def _is_page(route: object) -> bool:
    name = getattr(getattr(route, "response_class", None), "__name__", "")
    return name == "HTMLResponse" and not getattr(route, "include_in_schema", True)


FRAGMENTS = frozenset({"/rows", "/settings/keys/{key}/revoke"})
"""What pages load into themselves: no page by itself; and what is for admins only, which stories of their own look at."""


def _queries(seeds: Seeded, path: str) -> list[str]:
    """Return the queries that a page is looked at with."""
    match path:
        case "/jobs":
            return ["", "?status=FAILURE"]
        case "/work-items":
            return ["", "?status=FAILURE", "?task=imports"]
        case "/pipelines/{name}/range/{verb}" | "/jobs/{id}/range/{verb}":
            return ["?start=2026-01-05&end=2026-01-12"]
        case "/matching/{verb}":
            return ["?q=pipeline:embed_items"]
        case "/selected/{verb}":
            return [f"?item={seeds.items['failed']}&item={seeds.items['succeeded']}", f"?job={seeds.jobs['running']}"]
    return [""]


def pages_of(seeds: Seeded, paths: list[str]) -> list[str]:
    """Fill ids in; raises LookupError for a parameter that nobody has said an example of."""
    made = []
    for path in (each for each in paths if each not in FRAGMENTS):
        for filled in _filled(seeds, path):
            made += [filled + query for query in _queries(seeds, path)]
    return sorted(set(made))


def _filled(seeds: Seeded, path: str) -> list[str]:
    names = re.findall(r"\{(\w+)(?::\w+)?\}", path)
    kind = path.split("/")[1]
    choices = [_examples(seeds, path, kind, name) for name in names]
    shape = re.sub(r"\{(\w+)(?::\w+)?\}", "{}", path)
    return [shape.format(*values) for values in product(*choices)]


def _examples(seeds: Seeded, path: str, kind: str, name: str) -> list[str]:
    known = seeds.names()
    match name:
        case "path":
            return ["nowhere"]
        case "verb" if "/range/" in path:
            return ["retry", "overwrite", "backfill"]
        case "name" if "/range/" in path:
            return ["user_features", "flight_delays"]
        case "id" if "/range/" in path:
            return [seeds.id_of("failed", kind)]
        case "verb":
            return list(seeds.verbs)
        case "id" if path.count("{") > 1:  # what is asked before an action
            return [seeds.id_of("failed", kind), seeds.id_of("succeeded" if kind == "work-items" else "running", kind)]
        case "id" | "name" | "cause" if kind in known:
            return known[kind]
    raise LookupError(f"{path}: say in {Path(__file__).name} what {name} may be, so that the page is looked at")

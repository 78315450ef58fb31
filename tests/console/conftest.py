"""A browser, servers to look at, and visits to them; without a Chromium the stories in a browser are skipped, and say so."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "api"))

from browsing import HOW_TO_GET, Chromium, View, Visit, Visiting, chromium_path, visit
from playwright.sync_api import Browser, expect
from seeded import seeded
from server_harness import TASKS, Running, a_key, running
from serving_seeds import Site, served

from mulligan.core.access import Role


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """One Chromium for all tests of this process."""
    path = chromium_path()
    if path is None:
        pytest.skip(HOW_TO_GET)
    expect.set_options(timeout=20_000)
    made = Chromium(path, tmp_path_factory.mktemp("chromium"))
    yield made
    made.close()


@pytest.fixture
def browser(chromium: Chromium) -> Iterator[Browser]:
    """The browser, for one test."""
    with chromium.awake() as found:
        yield found


@pytest.fixture
def open_as(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visiting]:
    """Open a visit of somebody: `open_as(url, key, View(…))`. What goes wrong in any of them fails the test."""
    made: list[Visit] = []

    def enter(url: str, key: str = "", view: View | None = None) -> Visit:
        made.append(visit(browser, url, key, view))
        return made[-1]

    yield enter
    for each in made:
        each.context.close()
    assert [trouble for each in made for trouble in each.troubles] == []


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The console on seeds that all tests of this process look at, and leave as they are."""
    with served(seeded()) as made:
        yield made
    assert made.told == []


@pytest.fixture
def own_site() -> Iterator[Site]:
    """The console on seeds of the test's own, to act on."""
    with served(seeded()) as made:
        yield made
    assert made.told == []


@pytest.fixture
def visitor(site: Site, open_as: Visiting) -> Callable[[View], Visit]:
    """Open a visit of an operator to the seeds."""
    return lambda view: open_as(site.url, site.keys[Role.OPERATOR], view)


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Running, str]]:
    """A real `mulligan dev` on a store of its own, and an operator's key; it runs the tasks of the module's TASKS, if any."""
    tasks = getattr(request.module, "TASKS", TASKS)
    store = f"sqlite:///{tmp_path}/store.db"
    with running(store, tmp_path, "dev", str(tasks), "--no-browser") as made:
        yield made, a_key(store)

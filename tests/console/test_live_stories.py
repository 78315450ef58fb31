"""Pages that stay open: they follow logs, survive their server, keep calm in a storm, and count down by the server's time."""

from __future__ import annotations

import math
import re
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from browsing import View, Visiting, no_axe_violations
from playwright.sync_api import Locator, Page, expect
from seeded import NOW
from server_harness import MULLIGAN, Running, a_key, environment, running, until
from serving_seeds import Site

from mulligan.core.access import Role

TASKS = Path(__file__).parent / "console_tasks.py"


class Place(NamedTuple):
    """A server that all stories of this module share."""

    server: Running
    key: str
    folder: Path

    def submit(self, **body: object) -> str:
        answer = self.server.post("/api/jobs", self.key, body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def until(self, job: str, status: str) -> None:
        until(lambda: self.server.get(f"/api/jobs/{job}", self.key).json()["status"] == status, f"job {job} is {status}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("live")
    store = f"sqlite:///{folder}/store.db"
    with running(store, folder, "dev", str(TASKS), "--no-browser") as made:
        yield Place(made, a_key(store), folder)


class Talk:
    """An item that writes what it is given."""

    def __init__(self, place: Place, name: str) -> None:
        self._folder = place.folder / name
        self._folder.mkdir()
        self._count = 0
        self.job = place.submit(task="talk", args={"folder": str(self._folder)})
        place.until(self.job, "STARTED")

    def say(self, text: str) -> None:
        self._count += 1
        written = self._folder / f"{self._count}.tmp"
        written.write_text(text, "utf-8")
        written.rename(self._folder / str(self._count))

    def end(self) -> None:
        (self._folder / "end").touch()


def numbered(start: int, end: int) -> str:
    return "\n".join(f"line {number}" for number in range(start, end))


def test_the_log_of_what_runs_is_followed_and_stays_where_its_reader_is(place: Place, open_as: Visiting) -> None:
    talk = Talk(place, "followed")
    page = open_as(place.server.url, place.key).go(f"/work-items/{talk.job}-0")
    page.evaluate("window.loaded_once = true")
    log, more = page.locator("#log-text"), page.locator("#log-more")
    expect(page.get_by_text("It has written nothing yet.")).to_be_visible()
    talk.say(numbered(0, 100) + "\n\x1b[31mred\x1b[0m <script>document.title='taken over'</script>")
    expect(log).to_contain_text("red <script>document.title='taken over'</script>")
    at_end = "each => each.scrollHeight - each.scrollTop - each.clientHeight < 8"
    assert log.evaluate(at_end)
    log.evaluate("each => { each.scrollTop = 40 }")
    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")
    talk.say(numbered(100, 103))
    expect(more).to_have_text("3 new lines")
    assert log.evaluate("each => each.scrollTop") == 40
    expect(log).not_to_contain_text("line 102")
    no_axe_violations(page)
    more.click()
    expect(log).to_contain_text("line 102")
    assert log.evaluate(at_end)
    talk.say("the last words")
    talk.end()
    expect(log).to_contain_text("the last words")
    expect(page.locator(".head").first).to_contain_text("Success")
    expect(page.get_by_role("button", name="Follow")).to_be_hidden()
    assert page.evaluate("window.loaded_once")


def test_a_long_log_stays_bounded_in_the_page_and_a_paused_page_reads_nothing(place: Place, open_as: Visiting) -> None:
    talk = Talk(place, "long")
    visit = open_as(place.server.url, place.key)
    visit.page.clock.install()
    page = visit.go(f"/work-items/{talk.job}-0")
    log = page.locator("#log-text")
    for number in range(6):
        talk.say("x" * 90 + ("\n" + "y" * 90) * 800 + f"\nblock {number}")
        expect(log).to_contain_text(f"block {number}")
    assert log.evaluate("each => each.textContent.length") < 300_000
    expect(log).to_contain_text("in the whole log")
    page.locator("#pause").click()
    expect(page.locator("#live-text")).to_have_text("Paused")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    talk.say("said while it was paused")
    page.clock.run_for(40_000)
    assert asked == []
    page.locator("#pause").click()
    expect(log).to_contain_text("said while it was paused")
    talk.end()


def test_without_scripts_the_end_of_the_log_is_there_with_a_link_to_look_again(place: Place, open_as: Visiting) -> None:
    talk = Talk(place, "plain")
    page = open_as(place.server.url, place.key, View(javascript=False)).go(f"/work-items/{talk.job}-0")
    talk.say("some words")
    until(lambda: "some words" in place.server.get(f"/api/work-items/{talk.job}-0/logs", place.key).text, "its log")
    page.get_by_role("link", name="Reload").click()
    expect(page.locator("#log-text")).to_contain_text("some words")
    talk.end()


def test_a_storm_of_changes_becomes_few_requests_and_moves_nothing_under_the_pointer(place: Place, open_as: Visiting) -> None:
    count = 600
    page = open_as(place.server.url, place.key).go("/jobs?q=pipeline:tick")
    job = place.submit(task="tick", items=[{"args": {"number": number}} for number in range(count)])
    page.goto(f"{place.server.url}/jobs/{job}")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(
        """() => {
          window.began = performance.now(); window.patches = 0; window.gaps = 0; let last = began;
          const watched = document.querySelector("[data-live]"), all = {subtree: true, childList: true};
          new MutationObserver(() => { patches += 1; }).observe(watched, all);
          const frame = (now) => { if (now - last > 200) gaps += 1; last = now; requestAnimationFrame(frame); };
          requestAnimationFrame(frame);
        }"""
    )
    row = page.locator("table[data-list] tbody tr").nth(5)
    row.hover()
    top = "each => Math.round(each.getBoundingClientRect().top)"
    before = row.evaluate(top)
    expect(page.locator(".head").first).to_contain_text("Success")
    took = page.evaluate("(performance.now() - began) / 1000")
    patches, gaps = page.evaluate("[patches, gaps]")
    assert row.evaluate(top) == before
    refreshes = [each for each in asked if "/jobs/" in each]
    assert len(refreshes) <= took + 2, "one a second at most"
    assert patches <= 2 * len(refreshes) + 2
    print(f"{count} changes in {took:.1f} s: {len(refreshes)} requests, {patches} patches, {gaps} gaps of over 200 ms")


def test_new_rows_wait_behind_a_button_and_the_list_stays_where_it_is(place: Place, open_as: Visiting) -> None:
    place.until(place.submit(task="tick", args={"number": 1}), "SUCCESS")
    page = open_as(place.server.url, place.key).go("/jobs?q=pipeline:tick")
    row = page.locator("table[data-list] tbody tr").first
    row.hover()
    top = row.evaluate("each => each.getBoundingClientRect().top")
    for _ in range(2):
        place.submit(task="tick", args={"number": 1})
    expect(page.locator(".pill")).to_have_text("2 new: show")
    assert row.evaluate("each => each.getBoundingClientRect().top") == top


class TestTime:
    """Seeds whose clock stands still, in browsers whose clocks are wrong."""

    @pytest.mark.parametrize("skew", [timedelta(hours=-5), timedelta(days=400)], ids=["behind", "ahead"])
    def test_countdowns_go_by_the_servers_time_also_while_updates_are_paused(
        self, own_site: Site, open_as: Visiting, skew: timedelta
    ) -> None:
        visit = open_as(own_site.url, own_site.keys[Role.OPERATOR])
        visit.page.clock.install(time=NOW + skew)
        page = visit.go(f"/work-items/{own_site.seeds.items['retrying']}")
        page.locator("#pause").click()
        left = minutes_left(page, own_site)
        assert 2 <= left <= 6
        page.clock.run_for(5_000)
        expect(label(page)).to_have_text(re.compile(f"in ({left}|{left - 1}) minute"))
        page.clock.run_for(120_000)
        expect(label(page)).to_have_text(re.compile(f"in ({left - 2}|{left - 3}) minute"))
        page.clock.run_for(3_600_000)
        expect(label(page)).to_have_text("Retrying (in 0 minutes)")

    def test_a_clock_that_is_set_while_the_page_is_open_changes_nothing(self, own_site: Site, open_as: Visiting) -> None:
        visit = open_as(own_site.url, own_site.keys[Role.OPERATOR])
        visit.page.clock.install(time=NOW)
        page = visit.go(f"/work-items/{own_site.seeds.items['retrying']}")
        page.locator("#pause").click()
        left = minutes_left(page, own_site)
        page.clock.set_system_time(NOW - timedelta(days=1))
        page.clock.run_for(10_000)
        expect(label(page)).to_have_text(re.compile(f"in ({left}|{left - 1}) minute"))


def label(page: Page) -> Locator:
    return page.locator(".head .label").first


def minutes_left(page: Page, site: Site) -> int:
    """Return what the countdown must say by the clock of the server."""
    due = datetime.fromisoformat(label(page).get_attribute("data-due") or "")
    now = datetime.fromtimestamp(site.seeds.harness.clock.now_ms() / 1000, UTC)
    return math.ceil((due - now).total_seconds() / 60)


def a_free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_a_page_survives_its_server_and_loses_nothing(tmp_path: Path, open_as: Visiting) -> None:
    store, port = f"sqlite:///{tmp_path}/store.db", a_free_port()
    with (tmp_path / "worker.log").open("wb") as log:
        made = environment(database=store)
        worker = subprocess.Popen([*MULLIGAN, "worker", str(TASKS)], env=made, cwd=tmp_path, stdout=log, stderr=log)
    try:
        with running(store, tmp_path, "server", ends=None, port=str(port)) as server:
            key = a_key(store)
            until(lambda: "worker started" in (tmp_path / "worker.log").read_text(), "the worker")
            place = Place(server, key, tmp_path)
            talk = Talk(place, "told")
            visit = open_as(server.url, key)
            page = visit.go(f"/work-items/{talk.job}-0")
            page.evaluate("window.loaded_once = true")
            expect(page.locator("#live-text")).to_have_text("Live")
            server.process.kill()
            server.process.wait()
            expect(page.locator("#live-text")).to_have_text("Disconnected")
            talk.say("said while nobody served")
            talk.end()
        with running(store, tmp_path, "server", port=str(port)):
            expect(page.locator("#live-text")).to_have_text("Live")
            expect(page.locator("#log-text")).to_contain_text("said while nobody served")
            expect(page.locator(".head").first).to_contain_text("Success")
            assert page.evaluate("window.loaded_once")
            visit.expect_trouble("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE")
            page.goto("about:blank")
    finally:
        worker.terminate()
        worker.wait(30)

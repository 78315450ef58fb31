"""What people do in a browser to what runs, failed and succeeded: on one real server with a worker, by one or two people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from browsing import View, Visit, Visiting
from playwright.sync_api import Page, expect
from server_harness import Running, a_key, running, until

TASKS = Path(__file__).parent / "console_tasks.py"
MANY = 1_001
"""More than a thousand take a typed confirmation."""


class Place(NamedTuple):
    """A server that all stories of this module share, and the keys of two people."""

    server: Running
    ann: str
    bob: str
    folder: Path

    def submit(self, **body: object) -> str:
        answer = self.server.post("/api/jobs", self.ann, body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def until(self, job: str, status: str) -> None:
        until(lambda: self.server.get(f"/api/jobs/{job}", self.ann).json()["status"] == status, f"job {job} is {status}", 90.0)

    def attempts(self, item: str) -> int:
        return len(self.server.get(f"/api/work-items/{item}/attempts", self.ann).json()["items"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("console")
    store = f"sqlite:///{folder}/store.db"
    with running(store, folder, "dev", str(TASKS), "--no-browser", grace="5", bulk_rate="0") as made:
        yield Place(made, a_key(store, name="ann"), a_key(store, name="bob"), folder)


def head(page: Page) -> object:
    return page.get_by_role("main").locator(".head").first


def stays(page: Page) -> None:
    """Have a page notice when it is loaded anew."""
    page.evaluate("window.loaded_once = true")


def stayed(page: Page) -> bool:
    return bool(page.evaluate("window.loaded_once === true"))


def test_an_unsafe_window_is_overwritten_only_with_consent(place: Place, open_as: Visiting) -> None:
    job = place.submit(task="publish", backfill={"start": "2024-03-01", "end": "2024-03-02"})
    place.until(job, "SUCCESS")
    item = f"{job}-0"
    page = open_as(place.server.url, place.ann).go(f"/work-items/{item}")
    stays(page)
    page.locator(".head").get_by_role("link", name="Overwrite").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Not safe")
    expect(dialog).to_contain_text("812")
    dialog.get_by_role("button", name="Overwrite").click()
    expect(dialog, "the browser asks for the box first").to_be_visible()
    assert place.attempts(item) == 1
    dialog.get_by_role("checkbox", name=re.compile("I accept that risk")).check()
    dialog.get_by_role("button", name="Overwrite").click()
    expect(page.locator(".toast")).to_contain_text("Re-run scheduled for publish")
    until(lambda: place.attempts(item) == 2, "it ran again")
    expect(page.locator('[data-key="facts"]')).to_contain_text(re.compile(r"Generation\s*2"))
    assert stayed(page)


def test_without_scripts_an_overwrite_without_consent_is_refused_with_the_evidence(place: Place, open_as: Visiting) -> None:
    job = place.submit(task="publish", backfill={"start": "2024-03-02", "end": "2024-03-03"})
    place.until(job, "SUCCESS")
    visit = open_as(place.server.url, place.ann, View(javascript=False))
    page = visit.go(f"/work-items/{job}-0/overwrite")
    page.locator("form.ask").evaluate("form => { form.noValidate = true }")
    page.get_by_role("button", name="Overwrite").click()
    expect(page.get_by_role("main")).to_contain_text("Nothing was started. Accept the risk to do it anyway")
    visit.expect_trouble("409")
    expect(page.get_by_role("main")).to_contain_text("Not safe")
    assert place.attempts(f"{job}-0") == 1
    page.get_by_role("checkbox", name=re.compile("I accept that risk")).check()
    page.get_by_role("button", name="Overwrite").click()
    expect(page.locator("h1")).to_contain_text("Re-run scheduled")
    until(lambda: place.attempts(f"{job}-0") == 2, "it ran again")


def test_a_running_item_is_cancelled_and_its_row_says_so_at_once_and_turns_by_itself(place: Place, open_as: Visiting) -> None:
    job = place.submit(task="wait")
    place.until(job, "STARTED")
    page = open_as(place.server.url, place.ann).go("/work-items?q=state:running")
    stays(page)
    row = page.locator(f'tr[data-item="{job}-0"]')
    row.get_by_role("link", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator(".toast")).to_contain_text("Cancellation requested for wait")
    expect(row).to_contain_text(re.compile("Manual Cancellation Requested|Manually Cancelled"))
    expect(row).to_contain_text("Manually Cancelled")
    assert stayed(page)
    assert place.server.get(f"/api/jobs/{job}", place.ann).json()["status"] == "REVOKED"


def test_without_scripts_a_running_item_is_cancelled(place: Place, open_as: Visiting) -> None:
    job = place.submit(task="wait")
    place.until(job, "STARTED")
    page = open_as(place.server.url, place.ann, View(javascript=False)).go(f"/work-items/{job}-0")
    page.locator(".head").get_by_role("link", name="Cancel").click()
    page.get_by_role("main").get_by_role("button", name="Cancel").click()
    expect(page.locator("h1")).to_contain_text("Cancellation requested for wait")
    place.until(job, "REVOKED")


def test_a_thousand_failed_items_are_retried_by_filter_with_a_typed_confirmation_and_seen_to_the_end(
    place: Place, open_as: Visiting
) -> None:
    fixed = place.folder / "tables"
    items = [{"args": {"number": number, "fixed": str(fixed)}} for number in range(MANY)]
    job = place.submit(task="load", items=items)
    place.until(job, "FAILURE")
    fixed.touch()
    elsewhere = open_as(place.server.url, place.ann).go("/operations")
    visit = open_as(place.server.url, place.ann)
    page = visit.go(f"/work-items?q=job:{job}+state:failed")
    expect(page.get_by_role("navigation", name="All that match").get_by_role("link")).to_have_count(1)
    page.get_by_role("link", name="Retry all that match").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("h1")).to_contain_text(f"Retry all {MANY:,} work items")
    expect(dialog).to_contain_text(f"{MANY:,} failed")
    dialog.get_by_role("textbox", name=re.compile("confirm")).fill("alle")
    dialog.get_by_role("button", name="Retry").click()
    expect(page.locator(".toast.wrong")).to_contain_text("could not be scheduled")
    visit.expect_trouble("409")
    dialog.locator(".toast.wrong").get_by_role("button", name="Close").click()
    dialog.get_by_role("textbox", name=re.compile("confirm")).fill("all")
    dialog.get_by_role("button", name="Retry").click()
    begun = page.locator(".toast").filter(has_text=f"Retry of {MANY:,} work items has begun")
    expect(begun).to_be_visible()
    begun.get_by_role("link", name="View").click()
    expect(page).to_have_url(re.compile("/operations/"))
    stays(page)
    expect(page.locator('[data-key="head"]')).to_contain_text(f"{MANY:,} of {MANY:,} done")
    expect(page.locator('[data-key="head"]')).to_contain_text("done")
    expect(page.get_by_role("button", name="Abort")).to_have_count(0)
    expect(elsewhere.locator(".toast").filter(has_text=f"{MANY:,} retried.")).to_be_visible()
    assert stayed(page)
    place.until(job, "SUCCESS")


def test_of_two_people_the_second_is_told_that_the_first_was_there_and_nothing_is_done_twice(
    place: Place, open_as: Visiting
) -> None:
    job = place.submit(task="load", args={"number": 1, "fixed": str(place.folder / "never")})
    place.until(job, "FAILURE")
    item = f"{job}-0"
    ann, bob = open_as(place.server.url, place.ann), open_as(place.server.url, place.bob)
    for each in (ann, bob):
        each.go(f"/work-items/{item}").locator("#pause").click()  # so that the second does not see it either
        each.page.locator(".head").get_by_role("link", name="Retry").click()
        expect(each.page.get_by_role("dialog")).to_be_visible()
    confirm(ann)
    expect(ann.page.locator(".toast")).to_contain_text("Retry scheduled for load")
    until(lambda: place.attempts(item) == 2, "it was tried again")
    place.until(job, "FAILURE")
    confirm(bob)
    toast = bob.page.locator(".toast")
    expect(toast).to_contain_text("Nothing was retried: load")
    expect(toast).to_contain_text(re.compile(r"already retried \(recover\) by ann, \d+ s ago"))
    assert place.attempts(item) == 2


def confirm(visit: Visit) -> None:
    visit.page.get_by_role("dialog").get_by_role("button", name="Retry").click()


def test_what_a_task_wrote_and_failed_with_is_shown_as_text(place: Place, open_as: Visiting) -> None:
    job = place.submit(task="hostile")
    place.until(job, "FAILURE")
    page = open_as(place.server.url, place.ann).go(f"/work-items/{job}-0")
    for part in (page.locator('[data-key="error"]'), page.locator("#log-text")):
        expect(part).to_contain_text("<script>document.title='taken over'</script>")
        expect(part).to_contain_text("red")
        assert not set("\x1b\0") & set(part.inner_text())
    expect(page).to_have_title(re.compile("hostile"))

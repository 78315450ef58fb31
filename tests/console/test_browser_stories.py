"""What people do in a browser, on a real server whose worker runs real tasks."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import View, Visiting, no_axe_violations
from playwright.sync_api import expect
from server_harness import TASKS, Running, a_key, running, until

MONTHS = itertools.count(1)
"""Each story has a month of its own on the server that they share, since a day that is there is not missing."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str]]:
    """A real `mulligan dev`, and an operator's key."""
    folder = tmp_path_factory.mktemp("stories")
    store = f"sqlite:///{folder}/store.db"
    with running(store, folder, "dev", str(TASKS), "--no-browser") as made:
        yield made, a_key(store)


def a_failed_job(server: Running, key: str, fixed: Path) -> str:
    """Have one of three days fail for good, since a file is not there; return the job's id."""
    month = f"2024-{next(MONTHS):02}"
    days = {"task": "features", "backfill": {"start": f"{month}-04", "end": f"{month}-07"}}
    job = server.post("/api/jobs", key, {**days, "args": {"fixed": str(fixed)}}).json()["id"]
    until(lambda: server.get(f"/api/jobs/{job}", key).json()["status"] == "FAILURE", "one day has failed")
    return str(job)


def test_a_failed_job_is_recovered_and_turns_to_success_while_somebody_looks(
    server: tuple[Running, str], open_as: Visiting, tmp_path: Path
) -> None:
    dev, key = server
    fixed = tmp_path / "the-column"
    job = a_failed_job(dev, key, fixed)
    page = open_as(dev.url, key).go(f"/jobs/{job}")
    main = page.get_by_role("main")
    expect(main.get_by_text(re.compile(r"a column is missing on 2024-\d\d-05")).first).to_be_visible()
    fixed.touch()
    page.evaluate("window.loaded_once = true")
    main.locator("h1").locator("xpath=..").get_by_role("link", name="Retry").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    no_axe_violations(page)
    dialog.get_by_role("button", name=re.compile("Retry|Recover")).first.click()
    expect(main.locator("h1").locator("xpath=../..").get_by_text("Success").first).to_be_visible()
    assert page.evaluate("window.loaded_once")


def test_without_scripts_a_failed_day_is_recovered_by_plain_forms(
    server: tuple[Running, str], open_as: Visiting, tmp_path: Path
) -> None:
    dev, key = server
    fixed = tmp_path / "the-column"
    job = a_failed_job(dev, key, fixed)
    fixed.touch()
    page = open_as(dev.url, key, View(javascript=False)).go(f"/jobs/{job}/retry")
    page.get_by_role("main").get_by_role("button", name=re.compile("Retry|Recover")).first.click()
    until(lambda: dev.get(f"/api/jobs/{job}", key).json()["status"] == "SUCCESS", "it was recovered")
    page.goto(f"{dev.url}/jobs/{job}")
    expect(page.get_by_role("main").get_by_text("Success").first).to_be_visible()


def test_who_is_not_logged_in_logs_in_with_a_key_and_comes_to_where_he_was_going(
    server: tuple[Running, str], open_as: Visiting
) -> None:
    dev, key = server
    page = open_as(dev.url).go("/jobs?q=state:failed")
    page.get_by_label(re.compile("key", re.IGNORECASE)).first.fill(key)
    page.get_by_role("button", name=re.compile("Log in")).click()
    expect(page).to_have_url(re.compile(r"/jobs\?q="))
    expect(page.locator("h1")).to_contain_text("Jobs")


def test_whose_session_has_ended_is_told_so_and_comes_back_after_the_login(
    server: tuple[Running, str], open_as: Visiting, tmp_path: Path
) -> None:
    dev, key = server
    job = a_failed_job(dev, key, tmp_path / "the-column")
    visit = open_as(dev.url, key)
    page = visit.go(f"/jobs/{job}")
    page.locator(".head").get_by_role("link", name="Retry").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Recover")
    visit.context.clear_cookies()
    dialog.locator("button.primary").click()
    expect(dialog.get_by_role("alert")).to_contain_text("You are no longer logged in. Nothing was done.")
    expect(dialog.get_by_role("alert")).not_to_contain_text("Contact support")
    dialog.get_by_role("link", name="Log in").click()
    page.get_by_label(re.compile("key", re.IGNORECASE)).first.fill(key)
    page.get_by_role("button", name=re.compile("Log in")).click()
    expect(page).to_have_url(re.compile(rf"/jobs/{job}$"))
    visit.expect_trouble("401", "ERR_FAILED")


def test_a_page_whose_session_has_ended_goes_to_the_login_by_itself(
    server: tuple[Running, str], open_as: Visiting, tmp_path: Path
) -> None:
    dev, key = server
    job = a_failed_job(dev, key, tmp_path / "the-column")
    visit = open_as(dev.url, key)
    page = visit.go(f"/jobs/{job}")
    expect(page.locator("#live-text")).to_have_text("Live")
    visit.context.clear_cookies()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # the stream is asked for anew
    expect(page).to_have_url(re.compile(r"/login\?next="))
    visit.expect_trouble("401", "ERR_FAILED")

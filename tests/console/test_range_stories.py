"""Choosing ranges of windows, opening trees of calls, making keys and walking along runs, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from api_harness import ADD
from browsing import NARROW, View, Visiting, no_axe_violations
from playwright.sync_api import Page, expect
from seeded import NOW, RETRAIN
from server_harness import Running, until
from serving_seeds import Site

from mulligan.core.access import Role
from mulligan.core.job import FailureClass
from mulligan.core.submission import NewCall, NewItem, Options

DAYS = {"task": "features", "backfill": {"start": "2024-01-03", "end": "2024-01-07"}}


def cell(page: Page, day: str) -> object:
    """Return the cell of a day in the calendar."""
    return page.locator(f'.calendar a[data-start^="{day}"]')


def drag(page: Page, first: str, last: str) -> None:
    """Drag over the windows from a day to another."""
    cell(page, first).scroll_into_view_if_needed()  # type: ignore[attr-defined]
    boxes = [cell(page, each).bounding_box() for each in (first, last)]  # type: ignore[attr-defined]
    places = [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in boxes]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=6)
    page.mouse.up()


def chosen(page: Page) -> tuple[str, str]:
    """Return what stands in the two fields."""
    form = page.locator("[data-range]")
    return form.locator("[name=start]").input_value(), form.locator("[name=end]").input_value()


def test_a_range_is_dragged_over_and_retried_and_its_days_turn_to_success(
    server: tuple[Running, str], open_as: Visiting, tmp_path: Path
) -> None:
    running, key = server
    fixed = tmp_path / "the-column"
    job = running.post("/api/jobs", key, {**DAYS, "args": {"fixed": str(fixed)}}).json()["id"]
    until(lambda: running.get(f"/api/jobs/{job}", key).json()["status"] == "FAILURE", "one day has failed")
    page = open_as(running.url, key).go(f"/jobs/{job}")
    fixed.touch()
    drag(page, "2024-01-04", "2024-01-05")
    assert chosen(page) == ("2024-01-04", "2024-01-06")
    expect(page.locator("[data-said]")).to_contain_text(
        "2 cells chosen, from 4 January 2024 to 5 January 2024: 1 Success, 1 Failed"
    )
    page.get_by_role("button", name="Retry failed").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 success, 1 failed")
    no_axe_violations(page)
    dialog.get_by_role("button", name="Retry").click()
    expect(page.locator(".toast")).to_contain_text("Retry of 1 window has begun")
    expect(page.locator('.calendar a[data-start^="2024-01-05"]')).to_have_accessible_name("5 January 2024: Success")
    assert running.get(f"/api/jobs/{job}/work-items?key=2024-01-04", key).json()["items"][0]["generation"] == 1


def test_what_is_missing_is_backfilled_by_two_fields_without_scripts(
    server: tuple[Running, str], open_as: Visiting, tmp_path: Path
) -> None:
    running, key = server
    fixed = tmp_path / "the-column"
    fixed.touch()
    body = {**DAYS, "args": {"fixed": str(fixed)}}
    job = running.post("/api/jobs", key, body).json()["id"]
    until(lambda: running.get(f"/api/jobs/{job}", key).json()["status"] == "SUCCESS", "the days are done")
    page = open_as(running.url, key, View(javascript=False)).go(f"/jobs/{job}")
    page.get_by_role("textbox", name="From").fill("2024-01-01")
    page.get_by_role("textbox", name="until").fill("2024-01-05")
    page.get_by_role("button", name="Backfill what is missing").click()
    expect(page.get_by_role("main")).to_contain_text("2 left alone: succeeded before")
    page.get_by_role("button", name="Backfill what is missing").click()
    expect(page.locator("h1")).to_contain_text("Submitted 2 windows of features")
    page.get_by_role("link", name="View", exact=True).click()
    expect(page.get_by_role("main")).to_contain_text("2024-01-02")
    until(lambda: len(running.get("/api/partitions?task=features", key).json()["items"]) == 6, "the two days are there")


@pytest.mark.parametrize("view", [View(), View(dark=True, size=NARROW)], ids=str)
def test_a_range_is_chosen_with_the_keyboard_alone(site: Site, open_as: Visiting, view: View) -> None:
    page = open_as(site.url, site.keys[Role.OPERATOR], view).go(f"/jobs/{site.seeds.jobs['failed']}")
    first = page.locator(".calendar a[data-start]").first
    first.focus()
    start = first.get_attribute("data-start")
    assert start is not None
    page.keyboard.press("ArrowDown")
    expect(first).to_have_attribute("tabindex", "-1")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    expect(page.locator("[data-said]")).to_contain_text("3 cells chosen")
    no_axe_violations(page)
    page.keyboard.press("Escape")
    assert chosen(page) == ("", "")
    page.get_by_role("button", name="Choose with two clicks").press("Enter")
    cells = page.locator(".calendar a[data-start]")
    cells.nth(4).focus()
    page.keyboard.press("Enter")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert chosen(page)[0] == str(cells.nth(4).get_attribute("data-start"))[:10]
    assert chosen(page)[1] == f"{NOW:%Y-%m-%d}"
    cells.nth(2).click()
    cells.nth(1).click()
    expect(page.locator("[data-said]")).to_contain_text("2 cells chosen")
    assert page.url.endswith(f"/jobs/{site.seeds.jobs['failed']}"), "choosing opens nothing"


def test_a_click_still_opens_a_window(site: Site, open_as: Visiting) -> None:
    page = open_as(site.url, site.keys[Role.VIEWER]).go(f"/jobs/{site.seeds.jobs['failed']}")
    page.locator(".calendar a[data-start]").nth(3).click()
    expect(page).to_have_url(re.compile(r"/work-items/\d+-3$"))


def test_each_run_of_a_strip_is_reached_with_arrows_and_the_row_is_one_stop(site: Site, open_as: Visiting) -> None:
    page = open_as(site.url, site.keys[Role.VIEWER]).go("/pipelines")
    row = page.locator('tr[data-key="pipeline-user_features"]')
    row.get_by_role("link", name="user_features").focus()
    page.keyboard.press("Tab")
    runs = row.locator(".run-strip svg a")
    expect(runs.last).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(runs.nth(runs.count() - 2)).to_be_focused()
    expect(runs.nth(runs.count() - 2)).to_have_accessible_name(re.compile(r"^Job \d+: Success, 20\d\d-"))
    page.keyboard.press("Home")
    expect(runs.first).to_be_focused()
    page.keyboard.press("Tab")
    expect(row.locator(".run-strip svg a:focus")).to_have_count(0)
    page.keyboard.press("Shift+Tab")
    expect(runs.first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/jobs/\d+$"))


def test_a_thousand_calls_are_opened_a_page_at_a_time(own_site: Site, open_as: Visiting) -> None:
    harness = own_site.seeds.harness
    harness.publish(ADD)
    job = harness.submit(RETRAIN, 1, run_id="wide")
    worker = harness.worker(RETRAIN, ADD)
    calls = [NewCall(f"add#{n}", "d", NewItem(f"row-{n}", "{}"), ADD, Options()) for n in range(1000)]
    worker.call(worker.take(), *calls)
    for item in worker.claim(200):
        if item.number % 100 == 7:
            worker.fail(item, FailureClass.PERMANENT, error_message="a bad row", failure=None)
        else:
            worker.succeed(item, "3", None)
    page = open_as(own_site.url, own_site.keys[Role.VIEWER]).go(f"/jobs/{job}")
    tree = page.locator("ul[data-tree]")
    expect(tree.locator("summary").first).to_contain_text("1,000 calls")
    expect(tree.get_by_label("Calls that failed").get_by_role("listitem")).to_have_count(2)
    tree.locator("summary").first.press("Enter")
    branch = tree.locator("details > ul.tree > li")
    expect(branch).to_have_count(50)
    no_axe_violations(page)
    tree.get_by_role("link", name="Show more: 50 are shown").click()
    expect(branch).to_have_count(100)
    expect(branch.nth(50).get_by_role("link")).to_be_focused()
    worker.succeed(worker.take(), "3", None)
    expect(tree.locator("summary [data-counts]").first).to_contain_text("799")
    expect(branch).to_have_count(100)


@pytest.mark.parametrize("view", [View(), View(dark=True, size=NARROW)], ids=str)
def test_an_admin_makes_a_key_copies_it_and_revokes_it(own_site: Site, open_as: Visiting, view: View) -> None:
    visit = open_as(own_site.url, own_site.keys[Role.ADMIN], view)
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visit.go("/settings")
    no_axe_violations(page)
    page.get_by_label("Name").fill("night shift")
    page.get_by_label("Role").select_option("operator")
    page.get_by_label("Expires").select_option("30 days")
    page.get_by_role("button", name="Make a key").click()
    field = page.get_by_label("The key of night shift")
    expect(field).to_have_value(re.compile("^mlg_"))
    no_axe_violations(page)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == field.input_value()
    page.get_by_role("link", name="I have it").click()
    row = page.get_by_role("row", name=re.compile("night shift"))
    row.get_by_role("link", name="Revoke").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Revoke the key of night shift?")
    no_axe_violations(page)
    dialog.get_by_role("button", name="Revoke").click()
    expect(row).to_contain_text("revoked")
    expect(row.get_by_role("link", name="Revoke")).to_have_count(0)

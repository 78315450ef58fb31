"""Every page is fit for everybody, whatever its data: without barriers in light and dark, narrow, without scripts, as text."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest
from browsing import NARROW, View, Visit, axe_violations, seen_anew
from seeded import HOSTILE
from serving_seeds import Site, pages_of

ONLY_DARK = ["color-contrast", "target-size"]
"""What a page in the dark may break and the same page in the light does not."""


def opened(found: Visit, path: str) -> int:
    """Open a page and return its status."""
    answer = found.page.goto(found.url + path)
    assert answer is not None
    return answer.status


def fits(path: str, status: int) -> bool:
    """Return whether a status is one that a page with this path may have: it never breaks."""
    return status == 404 if path == "/nowhere" else status == 200


def over_width(found: Visit) -> int:
    """Return by how many pixels the open page is wider than its window."""
    over: int = found.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return over


def without_data(site: Site) -> list[str]:
    """Return one page of each template: the first of those that differ in their ids, or what is asked about them, alone."""
    first: dict[str, str] = {}
    for path in site.kinds:
        shape = "/".join("id" if any(map(str.isdigit, part)) else part for part in path.partition("?")[0].split("/"))
        first.setdefault(shape, path)
    return list(first.values())


@pytest.mark.timeout(400)  # some ninety pages, each looked at twice for all that axe knows
def test_no_page_has_barriers_in_the_light_nor_in_the_dark_nor_is_wider_than_a_narrow_screen(
    site: Site, visitor: Callable[[View], Visit]
) -> None:
    """Each page is loaded once, and looked at as it turns from light and wide to dark and narrow."""
    found = visitor(View())
    wrong: dict[str, list[str]] = {}
    for path in site.kinds:
        status = opened(found, path)
        wrong[path] = ([] if fits(path, status) else [f"status {status}"]) + axe_violations(found.page)
        with seen_anew(found.page, View(dark=True, size=NARROW)):
            over = over_width(found)
            wrong[path] += [f"dark: {each}" for each in axe_violations(found.page, ONLY_DARK)]
        wrong[path] += [f"{over} px too wide"] if over > 0 else []
    if "/nowhere" in site.pages:
        found.expect_trouble("404")
    assert {path: each for path, each in wrong.items() if each} == {}


def test_no_page_of_other_data_is_wider_than_a_narrow_screen(site: Site, visitor: Callable[[View], Visit]) -> None:
    found = visitor(View(size=NARROW))
    wide = {}
    for path in sorted(set(site.pages) - set(site.kinds)):
        opened(found, path)
        if (over := over_width(found)) > 0:
            wide[path] = over
    if "/nowhere" in set(site.pages) - set(site.kinds):
        found.expect_trouble("404")
    assert wide == {}


def test_every_page_is_whole_as_the_server_sends_it(site: Site, visitor: Callable[[View], Visit]) -> None:
    """What a browser without scripts makes of it is seen on one page of each template."""
    cookies = {each["name"]: each["value"] for each in visitor(View()).context.cookies()}
    with httpx.Client(base_url=site.url, cookies=cookies, timeout=30) as client:
        answers = {path: client.get(path) for path in site.pages}
    headings = {path: re.search(r"<h1[^>]*>(.*?)</h1>", answer.text, re.DOTALL) for path, answer in answers.items()}
    wrong = [
        (path, answers[path].status_code)
        for path, heading in headings.items()
        if not fits(path, answers[path].status_code) or not heading or not re.sub(r"<[^>]*>", "", heading[1]).strip()
    ]
    assert wrong == []


def test_without_scripts_every_template_is_whole(site: Site, visitor: Callable[[View], Visit]) -> None:
    found = visitor(View(javascript=False))
    wrong = []
    for path in without_data(site):
        status = opened(found, path)
        if not fits(path, status) or not found.page.locator("h1").first.inner_text().strip():
            wrong.append((path, status))
    if "/nowhere" in site.kinds:
        found.expect_trouble("404")
    assert wrong == []


def test_what_strangers_wrote_is_shown_as_text(site: Site, visitor: Callable[[View], Visit]) -> None:
    found = visitor(View())
    for name in ("hostile 0", "hostile 1", "hostile 2", "hostile 3", "hostile 4"):
        assert opened(found, f"/work-items/{site.seeds.items[name]}") == 200
        assert found.page.title() != "taken over"
        assert found.page.locator("script:not([src])").count() == 0
        assert found.page.locator("img[src=x]").count() == 0
    opened(found, f"/work-items/{site.seeds.items['hostile 0']}")
    assert HOSTILE.split("&")[0].strip() in found.page.locator("main").inner_text()


def test_a_new_page_whose_examples_nobody_has_said_is_not_passed_over(site: Site) -> None:
    with pytest.raises(LookupError, match=r"/alerts/\{alert\}: say in serving_seeds.py what alert may be"):
        pages_of(site.seeds, ["/alerts/{alert}"])

"""Every page is fit for everybody, whatever its data: without barriers in light and dark, narrow, without scripts, as text."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from browsing import NARROW, View, Visit, axe_violations
from seeded import HOSTILE
from serving_seeds import Site, pages_of

DESCRIBED = pytest.mark.parametrize("view", [View(), View(dark=True, size=NARROW)], ids=str)


def opened(found: Visit, path: str) -> int:
    """Open a page and return its status."""
    answer = found.page.goto(found.url + path)
    assert answer is not None
    return answer.status


def fits(path: str, status: int) -> bool:
    """Return whether a status is one that a page with this path may have: it never breaks."""
    return status == 404 if path == "/nowhere" else status == 200


@DESCRIBED
def test_no_page_has_barriers(site: Site, visitor: Callable[[View], Visit], view: View) -> None:
    found = visitor(view)
    wrong: dict[str, list[str]] = {}
    for path in site.kinds:
        status = opened(found, path)
        rules = ["color-contrast", "target-size"] if view.dark else None  # all others see the same in the light
        wrong[path] = ([] if fits(path, status) else [f"status {status}"]) + axe_violations(found.page, rules)
    if "/nowhere" in site.pages:
        found.expect_trouble("404")
    assert {path: each for path, each in wrong.items() if each} == {}


def test_without_scripts_every_page_is_whole(site: Site, visitor: Callable[[View], Visit]) -> None:
    found = visitor(View(javascript=False))
    wrong = []
    for path in site.pages:
        status = opened(found, path)
        if not fits(path, status) or not found.page.locator("h1").first.inner_text().strip():
            wrong.append((path, status))
    if "/nowhere" in site.pages:
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


def test_no_page_is_wider_than_a_narrow_screen(site: Site, visitor: Callable[[View], Visit]) -> None:
    found = visitor(View(size=NARROW))
    wide = {}
    for path in site.pages:
        opened(found, path)
        over = found.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if over > 0:
            wide[path] = over
    if "/nowhere" in site.pages:
        found.expect_trouble("404")
    assert wide == {}


def test_a_new_page_whose_examples_nobody_has_said_is_not_passed_over(site: Site) -> None:
    with pytest.raises(LookupError, match=r"/alerts/\{alert\}: say in serving_seeds.py what alert may be"):
        pages_of(site.seeds, ["/alerts/{alert}"])

"""A pipeline is run from its page: with arguments, or with the windows of a range."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from api_harness import ADD, FEATURES
from console_harness import Pages, words

from mulligan.core.access import Role
from mulligan.testing.factories import a_definition

SHAPES = a_definition(
    "shapes",
    parameters=json.dumps(
        {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "deep": {"type": "boolean", "default": False},
                "sizes": {"type": "array", "items": {"type": "integer"}},
            },
            "required": ["name", "sizes"],
            "additionalProperties": False,
        }
    ),
)


@pytest.fixture
def pages() -> Iterator[Pages]:
    made = Pages()
    for each in (ADD, FEATURES, SHAPES):
        made.harness.publish(each)
    yield made
    made.harness.store.close()


def run(pages: Pages, name: str, **fields: str) -> tuple[int, str]:
    """Answer the question, and return the status and what is said then."""
    answer = pages.send(f"/pipelines/{name}/run", fields, form=f"/pipelines/{name}/run")
    return answer.status_code, answer.text


def arguments(pages: Pages, item: str) -> object:
    return pages.get(f"/api/work-items/{item}")["args"]


def test_a_task_is_run_with_arguments_and_twice_pressed_is_once(pages: Pages) -> None:
    first, again = (run(pages, "add", **{"arg.a": "3", "arg.b": "", "operation": "press"}) for _ in range(2))
    assert "Scheduled add. Job ID 1." in words(first[1])
    assert "Job ID 1." in words(again[1])
    assert arguments(pages, "1-0") == {"a": 3}
    assert len(pages.get("/api/jobs")["items"]) == 1


def test_each_kind_of_parameter_is_read_as_what_it_is(pages: Pages) -> None:
    run(pages, "shapes", **{"arg.name": "7", "arg.deep": "true", "arg.sizes": "[1, 2]", "run_id": "mine"})
    assert arguments(pages, "1-0") == {"name": "7", "deep": True, "sizes": [1, 2]}
    assert pages.get("/api/jobs/1")["run_id"] == "mine"
    run(pages, "shapes", **{"arg.name": "", "arg.sizes": "[]"})
    assert arguments(pages, "2-0") == {"name": "", "sizes": []}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"arg.name": "x"}, "sizes: say a value; it has no default"),
        ({"arg.name": "x", "arg.sizes": "[1,"}, "sizes: expected JSON"),
        ({"arg.name": "x", "arg.sizes": '["one"]'}, "sizes"),
    ],
)
def test_what_cannot_be_is_said_and_what_was_typed_is_kept(pages: Pages, fields: dict[str, str], said: str) -> None:
    status, page = run(pages, "shapes", **fields)
    assert status == 409
    assert said in words(page)
    assert 'name="arg.name" autocomplete="off" value="x"' in page
    assert pages.get("/api/jobs")["items"] == []


def test_a_task_of_windows_is_run_for_a_range_in_its_time_zone(pages: Pages) -> None:
    asked = {"start": "2024-03-30", "end": "2024-04-02", "every": "1d", "tz": "Europe/Zurich"}
    assert "Scheduled features. Job ID 1." in words(run(pages, "features", **asked)[1])
    windows = [each["window"]["start"] for each in pages.get("/api/jobs/1/work-items")["items"]]
    assert windows == ["2024-03-30T00:00:00+01:00", "2024-03-31T00:00:00+01:00", "2024-04-01T00:00:00+02:00"]
    assert "Nothing is missing" in words(run(pages, "features", **asked)[1])
    status, page = run(pages, "features", **{**asked, "end": ""})
    assert (status, "until: say when" in words(page)) == (409, True)


def test_who_may_only_look_has_no_way_to_run_it(pages: Pages) -> None:
    assert "/pipelines/add/run" in pages.open("/pipelines/add")
    assert "/pipelines/add/run" in pages.open("/pipelines")
    pages.browser = pages.login(Role.VIEWER)
    assert "/pipelines/add/run" not in pages.open("/pipelines/add")
    pages.open("/pipelines/add/run", 403)

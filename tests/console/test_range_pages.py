"""Ranges of windows, pipelines, trees of calls and keys, as a browser without JavaScript has them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from api_harness import ADD, ASKER, FEATURES
from console_harness import Pages, forms, words

from mulligan.console.pages import calls
from mulligan.core.access import Role
from mulligan.core.definition import Definition
from mulligan.core.job import FailureClass
from mulligan.core.schedule import instant_ms
from mulligan.core.submission import NewCall, NewItem, Options
from mulligan.engine import calendars
from mulligan.testing.factories import a_definition

DAY = 86_400_000
ZURICH = "Europe/Zurich"
WITH_A = a_definition(
    "features",
    retries=(2, 300),
    window="window",
    online=True,
    offline=True,
    parameters=json.dumps({"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}),
)
FLOW = a_definition("flow", executor="workflow")


@pytest.fixture(params=["sqlite", "postgres"])
def both(request: pytest.FixtureRequest) -> Iterator[Pages]:
    """The console on a store of each kind."""
    made = Pages(request.getfixturevalue("an_empty_database")() if request.param == "postgres" else None)
    yield made
    made.harness.store.close()


@pytest.fixture
def pages() -> Iterator[Pages]:
    made = Pages()
    yield made
    made.harness.store.close()


@pytest.fixture
def admin() -> Iterator[Pages]:
    made = Pages(role=Role.ADMIN)
    yield made
    made.harness.store.close()


def days(first: str, count: int, tz: str = "UTC") -> list[NewItem]:
    start = instant_ms(first, tz)
    return [NewItem(f"{n}", '{"a": 7}', (start + n * DAY, start + (n + 1) * DAY)) for n in range(count)]


def done(pages: Pages, items: list[NewItem], fails: tuple[int, ...] = (), tz: str = "UTC", task: Definition = FEATURES) -> int:
    job = pages.harness.submit(task, items, kind="backfill", tz=tz)
    worker = pages.worker(task)
    for item in worker.claim(len(items)):
        if item.number in fails:
            worker.fail(item, FailureClass.PERMANENT, error_message="it broke", failure=None)
        else:
            worker.succeed(item, "3", None)
    return job


def finish(pages: Pages) -> None:
    """Have bulk operations do all their pages."""
    while pages.harness.bulk_pages.run_due():
        pages.harness.clock.pass_(1)


RANGE = {"start": "2024-01-02", "end": "2024-01-05"}


def asked(base: str, verb: str, start: str = "2024-01-02", end: str = "2024-01-05") -> str:
    return f"{base}/range/{verb}?start={start}&end={end}"


def send(pages: Pages, base: str, verb: str, **fields: str) -> str:
    """Answer the question about a range, and return what is said then."""
    answer = pages.send(f"{base}/range/{verb}", fields, form=asked(base, verb))
    return words(answer.text)


def test_a_range_of_a_job_is_retried_and_nothing_outside_of_it(both: Pages) -> None:
    job = done(both, days("2024-01-01", 6), fails=(0, 2, 5))
    said = words(both.open(asked(f"/jobs/{job}", "retry")))
    assert "From 2024-01-02 00:00 until 2024-01-05 00:00 UTC" in said
    assert "2 success, 1 failed" in said
    assert "1 work item would be run again" in said
    assert "Retry of 1 window has begun" in send(both, f"/jobs/{job}", "retry", type="restart", reason="mended")
    finish(both)
    assert [both.harness.item(job, n).generation for n in range(6)] == [1, 1, 2, 1, 1, 1]
    assert both.audited()[0]["reason"] == "mended"


@pytest.mark.parametrize("verb", ["retry", "overwrite"])
def test_a_range_outside_of_the_job_names_the_one_that_it_has_and_offers_nothing(pages: Pages, verb: str) -> None:
    base = f"/jobs/{done(pages, days('2024-01-01', 6), fails=(2,))}"
    page = pages.open(asked(base, verb, "2023-01-01", "2023-02-01"))
    said = words(page)
    assert "No window of the job lies in this range: it has those from 2024-01-01 00:00 until 2024-01-07 00:00 UTC." in said
    assert "There is nothing to run again." in said
    assert "data-primary" not in page
    page = pages.open(asked(base, "retry", "2024-01-04", "2024-01-06"))
    assert "There is nothing to run again." in words(page)
    assert "data-primary" not in page
    assert "data-primary" in pages.open(asked(base, "retry"))


def test_moments_are_those_of_the_jobs_own_time_zone(pages: Pages) -> None:
    job = done(pages, days("2024-01-01", 3, ZURICH), fails=(0, 1, 2), tz=ZURICH)
    page = pages.open(asked(f"/jobs/{job}", "retry", "2024-01-02", "2024-01-03"))
    assert "1 work item would be run again" in words(page)
    assert 'name="start" value="2024-01-02T00:00:00+01:00"' in page
    assert "Europe/Zurich" in words(pages.open(f"/jobs/{job}"))


def test_overwriting_a_range_has_the_verdicts_and_takes_consent(both: Pages) -> None:
    job = done(both, days("2024-01-01", 6))
    said = words(both.open(asked(f"/jobs/{job}", "overwrite")))
    assert "Not known to be safe for 3 of 3" in said
    assert "I accept that risk" in said
    assert "Re-run could not be scheduled" in send(both, f"/jobs/{job}", "overwrite")
    assert "Overwrite of 3 windows has begun" in send(both, f"/jobs/{job}", "overwrite", accept_risk="1")
    finish(both)
    assert [both.harness.item(job, n).generation for n in range(6)] == [1, 2, 2, 2, 1, 1]


def test_what_is_missing_in_a_range_is_submitted_as_a_job_of_its_own(both: Pages) -> None:
    both.harness.publish(WITH_A)
    done(both, days("2024-01-02", 2), fails=(1,), task=WITH_A)
    job = both.harness.submit(WITH_A, days("2024-01-04", 1), kind="backfill")
    base = f"/jobs/{job}"
    said = words(both.open(asked(base, "backfill", "2024-01-01", "2024-01-07")))
    assert "4 work items would be submitted : 2024-01-01 (never submitted), 2024-01-03 (Failed)" in said
    assert "1 left alone: succeeded before" in said
    assert "1 left alone: in flight" in said
    assert 'windows of 1 day, with the arguments of this job: { "a": 7 }' in said.replace("&quot;", '"')
    form = asked(base, "backfill", "2024-01-01", "2024-01-07")
    fields = next(each for each in forms(both.open(form)) if each["action"] == f"{base}/range/backfill")["fields"]
    answers = [both.browser.post(f"{base}/range/backfill", data=fields, headers={"Accept": "text/html"}) for _ in range(2)]
    assert all("Submitted 4 windows of features" in words(each.text) for each in answers), "the second does nothing more"
    made = both.all_ids("/api/jobs", 10)
    assert len(made) == 3
    keys = [each["key"] for each in both.get(f"/api/jobs/{made[0]}/work-items")["items"]]
    assert keys == ["2024-01-01", "2024-01-03", "2024-01-05", "2024-01-06"]
    said = words(both.open(form))
    assert "There is nothing to submit." in said


def test_over_a_pipeline_each_window_stands_for_its_newest_work_item(both: Pages) -> None:
    old = done(both, days("2024-01-02", 3), fails=(0, 1))
    done(both, days("2024-01-02", 1))
    page = words(both.open("/pipelines/features"))
    assert "3 windows from 2 January 2024 to 4 January 2024 (UTC): 1 Failed, 2 Success" in page
    assert "1 work item would be run again" in words(both.open(asked("/pipelines/features", "retry")))
    assert "Retry of 1 window has begun" in send(both, "/pipelines/features", "retry")
    finish(both)
    assert [both.harness.item(old, n).generation for n in range(3)] == [1, 2, 1]


def test_a_pipeline_with_years_of_windows_leads_from_one_to_the_next(pages: Pages) -> None:
    done(pages, days("2022-12-30", 800))
    page = pages.open("/pipelines/features")
    assert "2025" in page
    seen = []
    while True:
        seen.append(int(re.search(r"([\d,]+) windows?, UTC", words(page))[1].replace(",", "")))  # type: ignore[index]
        found = re.search(r'rel="prev" href="([^"]+)"', page)
        if found is None:
            break
        page = pages.open(found[1].replace("&amp;", "&"))
    assert sum(seen) == 800
    assert len(seen) == 4


def test_a_job_with_more_windows_than_fit_is_shown_by_periods_and_says_so(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calendars, "MOST", 40)
    job = done(pages, days("2024-01-01", 60))
    assert "Earlier: 2024-01" in words(pages.open(f"/jobs/{job}"))
    assert "31 windows" in words(pages.open(f"/jobs/{job}?at=2024-01"))


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("", "2024-01-05", "from: say where the range begins"),
        ("2024-01-05", "", "until: say where the range ends"),
        ("2024-01-05", "2024-01-02", "the range ends (2024-01-02) before it has begun (2024-01-05)"),
        ("monday", "2024-01-02", "from: 'monday' is not a date or time"),
        ("2024-02-30", "2024-03-02", "from: '2024-02-30' is not a date or time"),
    ],
)
def test_a_range_that_is_none_is_refused_in_words(pages: Pages, start: str, end: str, said: str) -> None:
    job = done(pages, days("2024-01-01", 2))
    assert said in words(pages.open(asked(f"/jobs/{job}", "retry", start, end), 422))
    assert said in words(pages.open(asked("/pipelines/features", "backfill", start, end), 422))


def test_what_cannot_be_cut_into_the_windows_that_are_there_is_said_in_the_question(pages: Pages) -> None:
    job = done(pages, days("2024-01-01", 2))
    said = words(pages.open(asked(f"/jobs/{job}", "backfill")))
    assert "task 'features' has no parameter 'a'" in said
    pages.harness.publish(WITH_A)
    said = words(pages.open(asked(f"/jobs/{job}", "backfill", "2024-01-01", "2024-01-02T12:00")))
    assert "does not divide the range" in said
    assert "tz: 'Mars' is no known time zone" in words(pages.open(asked("/pipelines/features", "retry") + "&tz=Mars", 422))


def test_above_a_thousand_windows_the_name_of_the_pipeline_is_typed(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mulligan.console.pages.ranges.NAMED", 2)
    job = done(pages, days("2024-01-01", 6), fails=(1, 2, 3))
    assert "Type features to confirm" in words(pages.open(asked(f"/jobs/{job}", "retry")))
    assert "type features to do this to 3 windows" in send(pages, f"/jobs/{job}", "retry", typed="feature")
    assert "has begun" in send(pages, f"/jobs/{job}", "retry", typed="features")


def test_viewers_choose_nothing_and_limited_keys_only_in_their_own_pipelines(pages: Pages) -> None:
    job = done(pages, days("2024-01-01", 3), fails=(1,))
    limited = pages.keys.create("limited", Role.OPERATOR, ["add"], ASKER).text
    for key, expected in ((pages.texts[Role.VIEWER], 403), (limited, 404)):
        client = pages.client(key, follow_redirects=False)
        assert client.get(asked(f"/jobs/{job}", "retry"), headers={"Accept": "text/html"}).status_code == expected
    pages.browser = pages.login(Role.VIEWER)
    page = pages.open(f"/jobs/{job}")
    assert "Act on a range" not in page
    assert "2 January 2024: Failed" in page


def called(pages: Pages, count: int, fails: tuple[int, ...] = ()) -> int:
    """Return the job of a workflow that has called `count` tasks, of which some failed and the others wait."""
    job = pages.harness.submit(FLOW, 1)
    worker = pages.worker(FLOW, ADD)
    worker.call(worker.take(), *(NewCall(f"add#{n}", "d", NewItem(f"row-{n}", "{}"), ADD, Options()) for n in range(count)))
    for item in worker.claim(count):
        if item.number in fails:
            worker.fail(item, FailureClass.PERMANENT, error_message=f"row {item.number} is bad", failure=None)
        else:
            worker.succeed(item, "3", None)
    return job


def test_a_workflows_job_shows_what_it_called_and_which_call_failed(both: Pages) -> None:
    job = called(both, 3, fails=(1,))
    said = words(both.open(f"/jobs/{job}"))
    assert "What was called" in said
    assert re.search(r"3 calls of flow \S+ : ✗ 1", said)
    assert re.search(r"✗ Failed add row-1 .*? permanent: row 1 is bad", said)
    assert "What was called" not in words(both.open(f"/jobs/{both.succeeded(ADD)}"))


def test_many_calls_are_closed_with_counts_and_those_that_failed_and_come_in_pages(both: Pages) -> None:
    job = called(both, calls.OPEN * 2 + 5, fails=(77, 78))
    page = both.open(f"/jobs/{job}")
    assert "105 calls" in words(page)
    assert set(re.findall(r"row-\d+", page)) == {"row-77", "row-78"}
    assert f'<details data-branch="/work-items/{job}-0/calls">' in page
    seen, address = [], f"/work-items/{job}-0/calls"
    while address:
        page = both.open(address)
        seen += re.findall(r'data-call="(\d+-\d+)"', page)
        found = re.search(r'rel="next" href="([^"]+)"', page)
        address = "" if found is None else found[1]
    assert len(seen) == len(set(seen)) == 105
    assert len(re.findall("data-call", both.open(f"/work-items/{job}-0/calls?status=FAILURE"))) == 2


def test_an_admin_makes_a_key_that_is_shown_once(admin: Pages) -> None:
    page = admin.send(
        "/settings/keys", {"name": "ann", "role": "operator", "expires": "30d", "pipelines": "add, features"}, form="/settings"
    )
    key = re.search(r'value="(mlg_[^"]+)"', page.text)
    assert key is not None
    assert page.headers["cache-control"] == "no-store"
    assert admin.client(key[1]).get("/api/jobs").status_code == 200
    listed = admin.open("/settings")
    assert key[1] not in listed
    assert "ann operator add, features" in words(listed)
    (line,) = [each for each in admin.get("/api/audit")["items"] if each["target"] == "key ann"]
    assert (line["source"], line["actor"]) == ("console", "the admin")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "the viewer"}, "there is a key 'the viewer' already"),
        ({"name": "ann", "role": "king"}, "role"),
        ({"name": "ann", "pipelines": "add, none"}, "there is no pipeline 'none'"),
        ({"name": "ann", "expires": "soon"}, "expires"),
    ],
)
def test_a_key_that_cannot_be_made_is_said_beside_the_form_which_keeps_what_was_written(
    admin: Pages, fields: dict[str, str], said: str
) -> None:
    answer = admin.send("/settings/keys", {"role": "viewer", **fields}, form="/settings")
    assert answer.status_code == 409
    assert said in words(answer.text)
    assert f'value="{fields["name"]}"' in answer.text


def test_a_key_is_revoked_after_a_question_and_the_last_of_an_admin_is_not(admin: Pages) -> None:
    ids = {each.name: each.id for each in admin.keys.all()}
    path = f"/settings/keys/{ids['the viewer']}/revoke"
    assert "Revoke the key of the viewer?" in words(admin.open(path))
    assert "The key of the viewer is revoked" in words(admin.send(path, {"reason": "gone"}).text)
    admin.open(path, 404)
    path = f"/settings/keys/{ids['the admin']}/revoke"
    assert "that you are logged in with" in words(admin.open(path))
    answer = admin.send(path)
    assert answer.status_code == 409
    assert "last key of an admin" in words(answer.text)
    assert admin.keys.find(admin.texts[Role.ADMIN]) is not None


def test_only_admins_see_keys(pages: Pages) -> None:
    assert "Make a key" not in pages.open("/settings")
    answer = pages.browser.post("/settings/keys", data={"name": "x", "role": "admin"}, headers={"Accept": "text/html"})
    assert answer.status_code == 403


def test_each_run_of_a_strip_is_named_and_one_of_them_is_a_stop_of_the_keyboard(pages: Pages) -> None:
    for _ in range(4):
        pages.succeeded(ADD)
    row = re.search(r'(?s)data-key="pipeline-add".*?</tr>', pages.open("/pipelines"))
    assert row is not None
    links = re.findall(r'<a href="/jobs/(\d+)"( tabindex="-1")?><title>([^<]+)', row[0])
    assert [tab for _, tab, _ in links] == [' tabindex="-1"'] * 3 + [""], "the newest is the one"
    assert all(re.match(rf"Job {job}: Success, ", name) for job, _, name in links)

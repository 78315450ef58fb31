"""Pages of the console as a browser without JavaScript has them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "api"))  # its harness is used here too

from api_harness import ADD, FEATURES
from console_harness import Pages, forms, words

from mulligan.core.access import Role
from mulligan.core.job import FailureClass, ItemKey, JobStatus
from mulligan.core.submission import NewItem
from mulligan.engine.exchanging import Notes
from mulligan.store.verbs.items import Items
from mulligan.testing.factories import a_definition, daily

HOSTILE = "<script>alert(1)</script> \x1b[31mred\x1b[0m \x07 & \"quoted\" 'too'"


@pytest.fixture
def pages() -> Iterator[Pages]:
    made = Pages()
    yield made
    made.harness.store.close()


@pytest.fixture(params=["sqlite", "postgres"])
def both(request: pytest.FixtureRequest) -> Iterator[Pages]:
    """The console on a store of each kind."""
    made = Pages(request.getfixturevalue("an_empty_database")() if request.param == "postgres" else None)
    yield made
    made.harness.store.close()


def backfill(pages: Pages, fails: tuple[int, ...] = (3,), count: int = 10) -> int:
    """Return a job of daily windows of which some have failed for good."""
    job = pages.harness.submit(FEATURES, list(daily(count)), kind="backfill")
    worker = pages.worker(FEATURES)
    for item in worker.claim(count):
        if item.number in fails:
            worker.fail(item, FailureClass.PERMANENT, error_type="KeyError", error_message=HOSTILE, failure=None)
        else:
            worker.succeed(item, "3", 812)
    return job


def test_the_overview_says_what_failed_and_offers_to_retry_it(both: Pages) -> None:
    job = backfill(both)
    page = both.open("/")
    assert "features" in words(page)
    assert "1 failed in 24 h" in words(page)
    assert f'href="/jobs/{job}/retry"' in page


def test_what_succeeded_is_counted_still_while_some_of_its_job_is_retried(both: Pages) -> None:
    job = backfill(both)
    assert "9 succeeded in 24 h" in words(both.open("/"))
    both.send(f"/jobs/{job}/retry")
    both.harness.clock.pass_(3)  # the overview may be two seconds old
    assert "9 succeeded in 24 h" in words(both.open("/"))


def test_pipelines_with_trouble_come_first(pages: Pages) -> None:
    pages.succeeded(ADD)
    backfill(pages)
    found = re.findall(r'data-key="pipeline-(\w+)"', pages.open("/"))
    assert found == ["features", "add"]


def test_a_job_page_has_its_windows_its_failures_and_its_items(both: Pages) -> None:
    job = backfill(both)
    said = words(both.open(f"/jobs/{job}"))
    assert "Failed" in said
    assert "10 work items: 9 Success, 1 Failed" in said
    assert "1 permanent" in said
    assert "17 November 2023: Failed" in said
    assert said.count("day-000003 ✗ Failed") == 2, "among what failed, and in the list"


def test_a_work_item_says_in_a_sentence_why_it_is_where_it_is(both: Pages) -> None:
    job = both.harness.submit(FEATURES, list(daily(1)), kind="backfill")
    worker = both.worker(FEATURES)
    worker.fail(worker.take(), FailureClass.TRANSIENT, error_type="SlowDown", error_message="503", failure=None)
    said = words(both.open(f"/work-items/{job}-0"))
    assert "Retrying in 5 minutes: SlowDown is TRANSIENT" in said
    assert "the policy allows another attempt. That was attempt 1 of generation 1." in said


def test_what_users_data_says_is_shown_as_text_and_never_as_markup(pages: Pages) -> None:
    job = backfill(pages)
    for path in ("/", "/jobs", "/work-items", f"/jobs/{job}", f"/work-items/{job}-3", f"/jobs/{job}/retry"):
        page = pages.open(path)
        assert "<script>alert" not in page, path
        assert "\x1b" not in page, path
        assert "\x07" not in page, path
    assert "&lt;script&gt;alert(1)" in pages.open(f"/work-items/{job}-3")


class TestRetry:
    def test_a_retry_asks_how_and_says_what_would_be_run_again(self, both: Pages) -> None:
        job = backfill(both, (3, 4))
        said = words(both.open(f"/jobs/{job}/retry"))
        assert "Recover : go on from where it stopped" in said
        assert "Restart : begin anew" in said
        assert said.count("2 work items would be run again") == 2
        assert both.harness.job(job).counts.failure == 2

    def test_sending_the_form_starts_it_and_says_so_with_the_job(self, both: Pages) -> None:
        job = backfill(both)
        answer = both.send(f"/jobs/{job}/retry", {"reason": "the source is mended"})
        assert answer.status_code == 200
        assert f"Retry scheduled for features (recover). Job ID {job}." in words(answer.text)
        assert both.harness.job(job).counts.pending == 1
        line = both.audited()[0]
        assert (line["action"], line["source"], line["reason"]) == ("recover", "console", "the source is mended")

    def test_the_script_of_the_page_is_told_the_same_as_json(self, pages: Pages) -> None:
        job = backfill(pages)
        said = pages.send(f"/jobs/{job}/retry", {"type": "restart"}, script=True).json()
        assert said == {
            "text": f"Retry scheduled for features (restart). Job ID {job}.",
            "job": str(job),
            "details": ["9 left alone: Success"],
            "went_wrong": False,
            "view": "",
        }

    def test_a_form_that_is_sent_twice_does_it_once(self, pages: Pages) -> None:
        job = backfill(pages)
        path = f"/jobs/{job}/retry"
        fields = next(each for each in forms(pages.open(path)) if each["action"] == path)["fields"]
        first, second = (pages.browser.post(path, data=fields, headers={"Accept": "application/json"}) for _ in range(2))
        assert first.json() == second.json()
        assert pages.harness.job(job).counts.pending == 1

    def test_the_second_of_two_people_is_told_that_nothing_was_left_to_do(self, pages: Pages) -> None:
        job = backfill(pages)
        other = pages.login(Role.ADMIN)
        path = f"/jobs/{job}/retry"
        fields = next(each for each in forms(other.get(path).text) if each["action"] == path)["fields"]
        pages.send(path)
        said = words(other.post(path, data=fields).text)
        assert "Nothing was retried: features." in said
        assert "1 left alone: Pending" in said

    def test_what_is_declared_safe_needs_no_question(self, pages: Pages) -> None:
        assert 'data-ask data-verb="retry"' in pages.open(f"/work-items/{backfill(pages)}-3")
        safe = a_definition("safe", idempotent=True)
        pages.harness.publish(safe)
        job = pages.failed(task=safe)
        answer = pages.send(f"/work-items/{job}-0/retry", form=f"/work-items/{job}-0")
        assert f"Retry scheduled for safe 0 (recover). Job ID {job}." in words(answer.text)

    def test_an_unknown_mode_is_an_error_with_the_job_id(self, pages: Pages) -> None:
        job = backfill(pages)
        answer = pages.send(f"/jobs/{job}/retry", {"type": "sideways"})
        assert answer.status_code == 409
        assert f"Retry could not be scheduled. Job ID {job}." in words(answer.text)
        assert "Contact support with this id." in words(answer.text)


class TestOverwrite:
    def test_the_verdict_and_its_evidence_come_first_and_without_consent_nothing_happens(self, both: Pages) -> None:
        job = backfill(both, ())
        page = words(both.open(f"/work-items/{job}-2/overwrite"))
        assert "Not known to be safe" in page or "UNSAFE" in page
        answer = both.send(f"/work-items/{job}-2/overwrite")
        assert answer.status_code == 409
        assert both.harness.job(job).counts.success == 10

    def test_what_comes_along_with_the_later_windows_is_counted_before_it_is_asked_for(self, both: Pages) -> None:
        job = both.harness.submit(FEATURES, list(daily(10)), kind="backfill")
        worker = both.worker(FEATURES)
        for item in worker.claim(10):
            both.harness.clock.pass_(1)
            worker.succeed(item, "3", 812)
        page = words(both.open(f"/work-items/{job}-9/overwrite"))
        assert "Also run the later windows that were written since, in order: there are none now." in page
        page = words(both.open(f"/work-items/{job}-2/overwrite"))
        assert "1 work item would be run again" in page
        assert "in order: 8 work items in all would be run again." in page
        answer = both.send(f"/work-items/{job}-2/overwrite", {"accept_risk": "1", "forward": "1"})
        assert "8 work items" in words(answer.text)

    def test_with_consent_it_is_run_again_and_the_audit_keeps_that(self, both: Pages) -> None:
        job = backfill(both, ())
        answer = both.send(f"/work-items/{job}-2/overwrite", {"accept_risk": "1"})
        assert "Re-run scheduled for features day-000002" in words(answer.text)
        assert both.harness.job(job).counts.pending == 1
        assert "risk accepted" in both.audited()[0]["expected"]

    def test_a_range_of_a_backfill_is_enough(self, pages: Pages) -> None:
        job = backfill(pages, ())
        fields = {"accept_risk": "1", "start": "2023-11-15", "end": "2023-11-18"}
        answer = pages.send(f"/jobs/{job}/overwrite", fields)
        assert "2 work items" in words(answer.text)
        assert pages.harness.job(job).counts.pending == 2


def test_a_plan_says_states_and_risks_in_words_for_people(pages: Pages) -> None:
    job = backfill(pages)
    assert "recover day-000003 (Failed)" in words(pages.open(f"/work-items/{job}-3/retry")).replace(f"{job}-3", "day-000003")
    said = words(pages.open(f"/jobs/{job}/overwrite"))
    assert "1 left alone: Failed." in said
    assert "Not known to be safe" in said
    for machine in ("SUCCESS", "FAILURE", "UNKNOWN", "UNSAFE", "=True"):
        assert machine not in said


@pytest.mark.parametrize(
    "asked", ["/jobs/{}/retry", "/work-items/{}-2/retry", "/selected/retry?item={}-2", "/matching/retry?q=job:{}"]
)
def test_where_there_is_nothing_to_do_that_is_said_and_nothing_can_be_sent(pages: Pages, asked: str) -> None:
    page = pages.open(asked.format(backfill(pages, ())))
    assert words(page).count("There is nothing to run again.") == 2
    assert "data-primary" not in page
    assert "Not now" in page


def test_a_problem_in_a_dialog_leads_back_to_the_page_below(pages: Pages) -> None:
    job = backfill(pages)
    path = f"/jobs/{job}/range/overwrite?start=2023-11-18&end=2023-11-15"
    page = pages.browser.get(path, headers={"Accept": "text/html", "X-Partial": "1"})
    assert page.status_code == 422
    assert "Close" in words(page.text)
    assert "Overview" in words(pages.open(path, 422))


def test_of_a_job_of_which_nothing_had_ended_nothing_is_left_alone(pages: Pages) -> None:
    job = pages.harness.submit(ADD, [NewItem("0", "{}")])
    assert "left alone" not in words(pages.open(f"/jobs/{job}/cancel"))
    assert "left alone" not in words(pages.send(f"/jobs/{job}/cancel").text)


def test_a_running_item_reads_cancellation_requested_at_once_and_offers_nothing_more(both: Pages) -> None:
    job = both.harness.submit(ADD, [NewItem("0", "{}")])
    both.worker(ADD).take()
    answer = both.send(f"/work-items/{job}-0/cancel")
    assert "Cancellation requested for add 0" in words(answer.text)
    page = both.open(f"/work-items/{job}-0")
    assert "Manual Cancellation Requested" in page
    assert f"/work-items/{job}-0/cancel" not in page


class TestSelected:
    def test_what_is_selected_is_retried_together_and_what_cannot_be_is_counted(self, both: Pages) -> None:
        job = backfill(both, (3, 4))
        ids = [f"{job}-{number}" for number in (2, 3, 4)]
        query = "&".join(f"item={each}" for each in ids)
        page = both.open(f"/selected/retry?{query}")
        assert words(page).count("2 work items would be run again") == 2
        fields = next(each for each in forms(page) if each["action"] == "/selected/retry")["fields"]
        answer = both.browser.post("/selected/retry", data={**fields, "item": ids})
        assert "Retry scheduled for 2 work items (recover)." in words(answer.text)
        assert "1 left alone" in words(answer.text)
        assert both.harness.job(job).counts.pending == 2

    def test_nothing_selected_is_said_to_be_that(self, pages: Pages) -> None:
        assert "select some jobs, or some work items" in words(pages.open("/selected/retry", status=422))


class TestWhoMayDoWhat:
    def test_a_viewer_sees_no_buttons_and_may_not_act(self, pages: Pages) -> None:
        job = backfill(pages)
        pages.browser = pages.login(Role.VIEWER)
        for path in ("/", "/jobs", f"/jobs/{job}", f"/work-items/{job}-3", "/pipelines"):
            page = pages.open(path)
            assert "data-verb" not in page, path
            assert 'type="checkbox"' not in page, path
        pages.open(f"/jobs/{job}/retry", status=403)

    def test_a_key_for_some_pipelines_sees_these(self, pages: Pages) -> None:
        pages.succeeded(ADD)
        job = backfill(pages)
        pages.texts[Role.OPERATOR] = pages.key(Role.OPERATOR, "add")
        pages.browser = pages.login(Role.OPERATOR)
        assert "features" not in pages.open("/")
        assert "features" not in words(pages.open("/jobs"))
        pages.open(f"/jobs/{job}", status=404)
        pages.open(f"/work-items/{job}-0", status=404)
        pages.open(f"/rows?item={job}-0", status=404)
        own = pages.failed()
        page = pages.open(f"/work-items/{own}-0")
        assert 'href="/audit"' not in page, "what is about all pipelines is not offered"
        assert 'href="/workers"' not in page

    def test_who_has_not_logged_in_is_sent_to_do_so_and_then_goes_on(self, pages: Pages) -> None:
        stranger = pages.client("", follow_redirects=False)
        answer = stranger.get("/jobs?q=state:failed", headers={"Accept": "text/html"})
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=%2Fjobs")

    def test_a_change_without_the_token_of_the_page_is_refused(self, pages: Pages) -> None:
        job = backfill(pages)
        answer = pages.browser.post(f"/jobs/{job}/retry", data={"type": "recover"})
        assert answer.status_code == 403
        assert pages.harness.job(job).counts.failure == 1


def test_a_filter_is_in_the_url_and_one_about_errors_leads_to_the_work_items(both: Pages) -> None:
    job = backfill(both)
    both.succeeded(ADD)
    assert "add" not in words(both.open("/jobs?q=state:failed"))
    answer = both.browser.get("/jobs?q=class:permanent")
    assert answer.headers["location"] == "/work-items?q=class%3Apermanent"
    found = both.open("/work-items?q=class:permanent+pipeline:features")
    assert re.findall(r'data-key="item-([\d-]+)"', found) == [f"{job}-3"]


def test_a_wrong_filter_is_said_beside_the_bar_and_the_list_stays(pages: Pages) -> None:
    backfill(pages)
    page = pages.open("/jobs?q=colour:red")
    assert "is no filter" in words(page)
    assert 'value="colour:red"' in page


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/work-items?q=from:yesterday", "from: 'yesterday' is not a date or time"),
        ("/work-items?q=until:soon", "until: 'soon' is not a date or time"),
        ("/work-items?q=%00", "text '\\x00': holds a NUL character"),
        ("/work-items?q=job:abc", "there is no job 'abc'"),
        ("/jobs?q=from:yesterday", None),
        ("/jobs?q=pipeline:a%00", "pipeline 'a\\x00': holds a NUL character"),
        ("/jobs?q=run:%00", "run '\\x00': holds a NUL character"),
        ("/jobs?q=label:team", "label: "),
    ],
)
def test_a_value_that_no_list_takes_is_said_beside_the_bar_with_the_word_that_was_typed(
    pages: Pages, path: str, said: str | None
) -> None:
    backfill(pages)
    if said is None:
        path = pages.browser.get(path).headers["location"]
        said = "from: 'yesterday'"
    page = pages.open(path)
    wrong = re.search(r'id="wrong" role="alert">([^<]*)', page)
    assert wrong is not None
    assert words(wrong[1]).startswith(said)
    assert "features" in page, "the list stays"
    typed = re.search(r'name="q" type="search" value="([^"]+)"', page)
    assert typed is not None
    assert typed[1] == unquote(path.partition("q=")[2])


def test_pages_of_a_list_lose_and_repeat_nothing(pages: Pages) -> None:
    jobs = [pages.succeeded(ADD) for _ in range(60)]
    found: list[str] = []
    path: str | None = "/jobs"
    while path:
        page = pages.open(path)
        found += re.findall(r'data-key="job-(\d+)"', page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        path = following[1].replace("&amp;", "&") if following else None
    assert found == [str(each) for each in reversed(jobs)]


def test_a_page_that_is_not_there_and_an_id_that_is_none_are_said_in_words(pages: Pages) -> None:
    assert "no_such_route" in words(pages.open("/nowhere", status=404))
    assert "there is no job 99" in words(pages.open("/jobs/99", status=404))
    pages.open("/work-items/seven", status=404)


def test_a_pipeline_is_paused_and_goes_on(both: Pages) -> None:
    assert "add is paused" in words(both.send("/pipelines/add/pause", form="/pipelines").text)
    both.harness.clock.pass_(3)  # the overview may be two seconds old
    assert "paused" in words(both.open("/"))
    assert "add goes on" in words(both.send("/pipelines/add/resume", form="/pipelines").text)


def test_what_a_page_loads_is_its_own_and_is_kept_by_the_browser(pages: Pages) -> None:
    page = pages.open("/")
    loaded = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert len(loaded) == 7
    for path in loaded:
        answer = pages.client("").get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert not re.search(r'(?:href|src|action)="(?:https?:)?//', page)
    assert not re.search(r"\son\w+=|<style|style=", page), "the policy allows neither scripts nor styles in the page itself"


def test_the_first_load_is_small(pages: Pages) -> None:
    for _ in range(60):
        pages.succeeded(ADD)
    answer = pages.browser.get("/jobs", headers={"Accept-Encoding": "gzip"})
    size = int(answer.headers["content-length"])
    for path in re.findall(r'(?:href|src)="(/static/[^"]+)"', answer.text):
        size += int(pages.client("").get(path, headers={"Accept-Encoding": "gzip"}).headers["content-length"])
    assert size < 100_000


def test_under_a_prefix_every_link_has_it() -> None:
    pages = Pages(root_path="/mulligan")
    backfill(pages)
    page = pages.browser.get("/mulligan/", headers={"Accept": "text/html"}).text
    links = re.findall(r'(?:href|src|action)="(/[^"]*)"', page)
    assert links
    assert [each for each in links if not each.startswith("/mulligan")] == []
    pages.harness.store.close()


def test_every_state_has_a_shape_and_a_word_besides_its_colour(pages: Pages) -> None:
    from mulligan.console.rendering import SHAPES
    from mulligan.console.words import NAMES

    assert set(SHAPES) == set(NAMES) == set(JobStatus)
    assert len(set(SHAPES.values())) == len(JobStatus)


class TestAttempts:
    def test_those_of_an_item_with_hundreds_are_read_once_and_shown_by_pages(
        self, both: Pages, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job, count = tried_often(both, 510)
        read = Items.attempts
        reads: list[ItemKey] = []
        monkeypatch.setattr(Items, "attempts", lambda items, key: reads.append(key) or read(items, key))
        page = both.open(f"/work-items/{job}-0")
        assert len(reads) == 1
        assert "486 earlier attempts are not drawn" in words(page)
        assert f'href="/work-items/{job}-0/attempts">All 510 attempts' in page
        assert len(page) < 200_000
        found: list[int] = []
        path: str | None = f"/work-items/{job}-0/attempts"
        while path:
            page = both.open(path)
            found += [int(each) for each in re.findall(r'data-key="attempt-(\d+)"', page)]
            assert page.count('class="row-name"') <= 25
            following = re.search(r'rel="next" href="([^"]+)"', page)
            path = following[1].replace("&amp;", "&") if following else None
        assert found == list(range(count, 0, -1))

    def test_a_page_before_an_attempt_that_is_not_there_is_not_found(self, pages: Pages) -> None:
        job = pages.failed()
        assert "has 1 ended attempts" in words(pages.open(f"/work-items/{job}-0/attempts?before=9", status=404))
        assert "None has ended." in words(pages.open(f"/work-items/{pages.harness.submit(ADD, 1)}-0/attempts"))


def tried_often(pages: Pages, count: int) -> tuple[int, int]:
    stubborn = a_definition("stubborn", retries=(count + 5, 0))
    pages.harness.publish(stubborn)
    job = pages.harness.submit(stubborn, 1)
    worker = pages.worker(stubborn)
    for _ in range(count):
        worker.fail(worker.take(), FailureClass.TRANSIENT, error_type="SlowDown", error_message="503", failure=None)
    return job, count


class TestLog:
    def test_what_was_written_after_a_place_is_told_harmless_and_by_attempt(self, both: Pages) -> None:
        job = both.harness.submit(ADD, 1)
        worker = both.worker(ADD)
        item = worker.take()
        worker.exchange(notes=Notes(logs=[(item.job, item.number, item.token, 0, HOSTILE)]))
        page = both.open(f"/work-items/{job}-0")
        assert "&lt;script&gt;alert(1)" in page
        place = re.search(r'data-next="([^"]*)"', page)
        assert place is not None
        path = f"/work-items/{job}-0/log?after={place[1]}"
        assert both.browser.get(path).json() == {"parts": [], "next": None, "skipped": False}
        worker.exchange(notes=Notes(logs=[(item.job, item.number, item.token, 1, "\x1b[31mmore\x1b[0m\n")]))
        found = both.browser.get(path).json()
        assert found["parts"] == [{"attempt": 1, "text": "more\n"}]
        assert found["next"] == f"{item.token}.1"

    def test_a_key_for_other_pipelines_may_not_read_it(self, pages: Pages) -> None:
        job = pages.failed()
        pages.texts[Role.OPERATOR] = pages.key(Role.OPERATOR, "features")
        assert pages.login(Role.OPERATOR).get(f"/work-items/{job}-0/log").status_code == 404


class TestSecondPerson:
    def test_one_who_comes_second_is_told_who_was_first_and_what_moved_on_is_left_alone(self, both: Pages) -> None:
        job = backfill(both)
        path = f"/work-items/{job}-3/retry"
        late = next(each for each in forms(both.open(path)) if each["action"] == path)["fields"]
        other = both.login(Role.ADMIN)
        fields = next(each for each in forms(other.get(path).text) if each["action"] == path)["fields"]
        other.post(path, data=fields)
        both.harness.clock.pass_(12)
        worker = both.worker(FEATURES)
        worker.fail(worker.take(), FailureClass.PERMANENT, error_message="again", failure=None)
        said = words(both.browser.post(path, data=late).text)
        assert "Nothing was retried: features day-000003." in said
        assert "It was already retried (recover) by the admin, 12 s ago." in said
        assert both.harness.item(job, 3).generation == 2

    def test_who_may_not_see_the_audit_is_told_that_nothing_was_left(self, pages: Pages) -> None:
        job = pages.failed(task=FEATURES)
        pages.texts[Role.OPERATOR] = pages.key(Role.OPERATOR, "features")
        pages.browser = pages.login(Role.OPERATOR)
        pages.send(f"/jobs/{job}/cancel")
        said = words(pages.send(f"/jobs/{job}/cancel").text)
        assert "Nothing was cancelled" in said
        assert "It was already" not in said


def test_a_filter_of_work_items_offers_what_fits_all_that_match(pages: Pages) -> None:
    backfill(pages)
    assert 'href="/matching/' not in pages.open("/work-items")
    for query, verbs in (("state:failed", ["retry"]), ("state:success", ["overwrite"]), ("state:retrying", [])):
        assert re.findall(r'href="/matching/([\w-]+)', pages.open(f"/work-items?q={query}")) == verbs, query
    every = re.findall(r'href="/matching/([\w-]+)', pages.open("/work-items?q=pipeline:features"))
    assert every == ["retry", "retry-now", "overwrite", "cancel"]


def test_an_empty_log_is_said_to_be_that_and_no_more(pages: Pages) -> None:
    page = pages.open(f"/work-items/{pages.succeeded(ADD)}-0")
    assert "It wrote nothing." in words(page)
    assert '<span id="log-whole" hidden>The end of it.' in page


def test_what_was_saved_stands_in_a_table_that_scrolls(pages: Pages) -> None:
    job = pages.harness.submit(ADD, [NewItem("0", "{}")])
    worker = pages.worker(ADD)
    item = worker.take()
    worker.save(item, "step", "download", "1")
    page = pages.open(f"/work-items/{job}-0")
    assert re.search(r'(?s)Saved on the way</h2>\s*<div class="scroll"[^>]*><table', page)

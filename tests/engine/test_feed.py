"""What those who watch are told: events in their order, none skipped and none twice, and what has changed."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from mulligan.core.access import Role
from mulligan.core.job import FailureClass
from mulligan.core.submission import NewItem
from mulligan.engine.asking import Asker, Target
from mulligan.engine.definitions import Definitions
from mulligan.engine.engine import Engine
from mulligan.engine.feed import NEWEST, Feed, Moved, View
from mulligan.engine.keys import Keys
from mulligan.engine.logins import Logins, digest_of
from mulligan.engine.watchers import Watchers
from mulligan.store.postgres import PostgresDatabase
from mulligan.store.verbs.records import FIRST, EventPlace
from mulligan.testing.factories import a_definition
from mulligan.testing.harness import ASKER, Harness

ADD = a_definition("add")


@pytest.fixture(params=["sqlite", "postgres"])
def both(request: pytest.FixtureRequest) -> Iterator[Harness]:
    made = Harness(database=request.getfixturevalue("an_empty_database")() if request.param == "postgres" else None)
    made.publish(ADD)
    yield made
    made.store.close()


def failed(harness: Harness, count: int = 1) -> int:
    job = harness.submit(ADD, [NewItem(str(number), "{}") for number in range(count)])
    worker = harness.worker(ADD)
    for item in worker.claim(count):
        worker.fail(item, FailureClass.PERMANENT, error_message="it broke", failure=None)
    return job


def kinds(feed: Feed, after: EventPlace = FIRST) -> list[tuple[str, str | None, str | None]]:
    return [(each.kind, None if each.item is None else str(each.item), each.reason) for each in feed.after(after)[0]]


def test_a_failure_the_end_of_its_job_and_what_a_person_did_about_it_are_told_in_their_order(both: Harness) -> None:
    feed = Feed(both.engine)
    before = feed.end()
    job = failed(both, 2)
    assert kinds(feed, before) == [
        ("item_failed", f"{job}-0", "at_most_once"),
        ("item_failed", f"{job}-1", "at_most_once"),
        ("job_ended", None, None),
    ]
    there = feed.after(before)[1]
    both.commands.retry(Target(job=job), "recover", ASKER)
    both.commands.cancel(Target(job=job), ASKER)
    told = feed.after(there)[0]
    assert [(each.kind, each.reason) for each in told] == [("acted", "recover"), ("acted", "cancel"), ("job_ended", None)]
    assert {(each.job, each.root, each.pipeline, each.task) for each in told} == {(job, job, "add", "add")}
    assert told[-1].label == "Manually Cancelled"


def test_an_action_on_one_work_item_is_told_of_that_and_one_that_did_nothing_of_none(both: Harness) -> None:
    job = failed(both, 2)
    feed = Feed(both.engine)
    there = feed.after(FIRST)[1]
    both.commands.retry(Target(items=(both.item(job, 1).key,)), "restart", ASKER, dry_run=True)
    assert kinds(feed, there) == []
    both.commands.retry(Target(items=(both.item(job, 1).key,)), "restart", ASKER)
    assert kinds(feed, there) == [("acted", f"{job}-1", "restart")]
    both.commands.retry(Target(items=(both.item(job, 1).key,)), "restart", ASKER)
    assert kinds(feed, there) == [("acted", f"{job}-1", "restart")], "it runs again already"


def test_pages_go_on_where_the_one_before_ended(both: Harness) -> None:
    failed(both, 5)
    feed = Feed(both.engine)
    place, found, more = FIRST, [], True
    while more:
        told, place, more = feed.after(place, 2)
        found += [str(each.item) for each in told]
    assert found == [*(f"1-{number}" for number in range(5)), "None"]
    assert feed.after(place)[0] == []
    assert place <= feed.end() or both.database.dialect == "sqlite"


def test_other_namespaces_are_told_nothing(both: Harness) -> None:
    failed(both)
    other = Engine(both.store, Definitions("other"), both.clock, lambda: 0.5, both.engine.bell)
    assert Feed(other).after(FIRST)[0] == []
    view = View(other)
    view.look()
    failed(both)
    assert view.look() == ([], [])


def test_who_commits_late_is_not_skipped(request: pytest.FixtureRequest) -> None:
    place = request.getfixturevalue("an_empty_place")()
    harness = Harness(database=PostgresDatabase(place))
    harness.publish(ADD)
    job = failed(harness)
    feed = Feed(harness.engine)
    there = feed.after(FIRST)[1]
    with psycopg.connect(place.url) as late:
        late.execute(f"set search_path to {place.schema}".encode())
        late.execute("insert into events (at_ms, kind, job) values (1, 'job_ended', %s)", [job])
        failed(harness)
        told, meanwhile, _ = feed.after(there)
        assert told == [], "what came after what is not there yet waits for it"
        assert meanwhile == there
        late.commit()
    told, place_after, _ = feed.after(there)
    assert told[0].at_ms == 1
    assert [each.kind for each in told] == ["job_ended", "item_failed", "job_ended"]
    assert feed.after(place_after)[0] == []
    assert feed.end() > place_after
    harness.store.close()


class TestView:
    def test_what_has_changed_is_told_once_and_what_stands_still_not(self, both: Harness) -> None:
        job = both.submit(ADD, 2)
        view = View(both.engine)
        assert view.look() == ([], []), "what was there at the beginning is no change"
        worker = both.worker(ADD)
        (item,) = worker.claim(1)
        assert view.look()[0] == [Moved(job, job, "add")]
        assert view.look()[0] == []
        worker.succeed(item, "1", None)
        new = both.submit(ADD, 1)
        assert {each.job for each in view.look()[0]} == {job, new}
        both.commands.cancel(Target(job=new), ASKER)
        assert [each.job for each in view.look()[0]] == [new]
        assert view.look()[0] == []

    def test_an_old_job_that_has_ended_is_seen_again_once_something_is_heard_of_it(self, both: Harness) -> None:
        job = failed(both)
        view = View(both.engine)
        view.look()
        view._newest += NEWEST + 1
        view._forget()
        assert view._jobs == {}
        view._newest = 10 * NEWEST
        both.commands.retry(Target(job=job), "recover", ASKER)
        assert [each.job for each in view.look({job})[0]] == [job]
        worker = both.worker(ADD)
        assert job in view._jobs, "from now on it is in view by itself"
        worker.succeed(worker.claim(1)[0], "1", None)
        assert [each.job for each in view.look()[0]] == [job]

    def test_what_begins_and_ends_between_two_looks_is_told_too(self, both: Harness) -> None:
        view = View(both.engine)
        view.look()
        assert [each.job for each in view.look([])[0]] == []
        job = failed(both)
        assert [each.job for each in view.look()[0]] == [job]

    def test_pipelines_that_are_published_or_paused_are_told(self, both: Harness) -> None:
        view = View(both.engine)
        view.look()
        both.commands.pause("add", ASKER, paused=True)
        assert view.look()[1] == ["add"]
        both.publish(a_definition("more"))
        assert view.look()[1] == ["more"]
        assert view.look()[1] == []


def test_keys_and_login_sessions_that_have_ended_are_found_at_once(both: Harness) -> None:
    keys, logins, watchers = Keys(both.engine), Logins(both.engine, 60.0), Watchers(both.engine, 60.0)
    ann = keys.create("ann", Role.VIEWER, None, Asker("t", "t")).principal
    bob = keys.create("bob", Role.VIEWER, None, Asker("t", "t")).principal
    tokens = {each.name: logins.begin(each, ASKER) for each in (ann, bob)}
    digests = {name: digest_of(token) for name, token in tokens.items()}
    assert watchers.ended([ann.id, bob.id], digests.values()) == (set(), set())
    keys.revoke("ann", ASKER)
    assert watchers.ended([ann.id, bob.id], digests.values()) == ({ann.id}, {digests["ann"]})
    logins.end(tokens["bob"], bob, ASKER)
    assert watchers.ended([bob.id], [digests["bob"]]) == (set(), {digests["bob"]})
    again = logins.begin(bob, ASKER)
    both.clock.pass_(61)
    assert watchers.ended([], [digest_of(again)]) == (set(), {digest_of(again)}), "it was idle for too long"
    assert Watchers(both.engine, 60.0, ann).ended([ann.id], []) == (set(), set()), "a key of this process"

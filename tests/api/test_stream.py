"""The stream: what listeners are told, who may hear what, and how one goes on after anything."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_harness import ADD, ASKER, FEATURES, Api
from server_harness import TASKS, a_key, cli, running, until

from mulligan.api import feeding, listeners, stream
from mulligan.api.listeners import ROOM, Listener, Wish
from mulligan.core.access import Principal, Role
from mulligan.engine.logins import csrf_token_of
from mulligan.store.postgres import Place

WAIT_S = 30.0
Message = dict[str, Any]


def parsed(text: str) -> list[Message]:
    """Return the messages of a stream: id, event and data of each, as a browser would have them."""
    found, last = [], None
    for block in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        last = fields.get("id", last)
        if "data" in fields:
            found.append({"id": last, "event": fields["event"], **json.loads(fields["data"])})
    return found


def told(api: Api, *, apikey: str | None = None, headers: dict[str, str] | None = None, **query: Any) -> list[Message]:
    """Return what there is, without waiting for more."""
    found = api.call("GET", "/api/stream", apikey=apikey, headers=headers, params={"follow": "false", **query})
    assert found.status_code == 200, found.text
    assert found.headers["content-type"] == "text/event-stream; charset=utf-8"
    return parsed(found.text)


class Ear:
    """Somebody who listens in this process."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.text = ""
        self.whole = False
        self.reads = asyncio.Event()
        self.reads.set()
        self.gone = asyncio.Event()
        self._came = asyncio.Condition()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.reads.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.text += message["body"].decode()
            self.whole = not message.get("more_body", False)
        async with self._came:
            self._came.notify_all()

    async def until(self, condition: Callable[[], Any]) -> None:
        async with self._came:
            await asyncio.wait_for(self._came.wait_for(condition), WAIT_S)

    async def hears(self, event: str, count: int = 1) -> list[Message]:
        """Wait until it has heard of something so often."""
        await self.until(lambda: sum(each["event"] == event for each in parsed(self.text)) >= count)
        return [each for each in parsed(self.text) if each["event"] == event]


@asynccontextmanager
async def listening(api: Api, query: str = "", **headers: str) -> AsyncIterator[Ear]:
    """Listen to the stream as an operator, or with other headers."""
    given = headers or {"apikey": api.texts[Role.OPERATOR]}
    ear = Ear()
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": "/api/stream", "raw_path": b"/api/stream", "query_string": query.encode(), "root_path": "",
        "client": ("test", 1), "server": ("test", 1),
        "headers": [(b"host", b"127.0.0.1:7878"), *((name.encode(), value.encode()) for name, value in given.items())],
    }  # fmt: skip
    answering = asyncio.ensure_future(api.app(scope, ear.receive, ear.send))
    try:
        await ear.until(lambda: "event: " in ear.text or ear.whole)
        yield ear
    finally:
        ear.gone.set()
        await asyncio.wait_for(answering, WAIT_S)


@pytest.fixture
def live(both: Api) -> Iterator[Api]:
    """The API on a store of each kind, that stops in time."""
    yield both
    both.app.stop()


class TestWhatIsTold:
    def test_every_event_says_what_it_is_about_and_how_that_is_now(self, both: Api) -> None:
        job = both.failed()
        ready, failed, ended = told(both, after="0-0-1")
        assert (ready["event"], ready["reason"]) == ("ready", None)
        assert failed == {
            "id": failed["id"], "event": "item_failed", "job": str(job), "work_item": f"{job}-0", "root_job": str(job),
            "pipeline": "add", "task": "add", "run_id": failed["run_id"], "generation": 1, "reason": "at_most_once",
            "status": "FAILURE", "label": "Failed", "at": "2023-11-14T22:13:20+00:00",
        }  # fmt: skip
        assert (ended["event"], ended["work_item"], ended["label"]) == ("job_ended", None, "Failed")
        both.post(f"/api/jobs/{job}/retry", {"reason": "again"})
        (_, acted) = told(both, after=ended["id"])
        assert (acted["event"], acted["reason"], acted["status"]) == ("acted", "recover", "PENDING")

    def test_one_goes_on_after_any_id_and_the_header_of_browsers_comes_first(self, both: Api) -> None:
        both.failed(3)
        every = told(both, after="0-0-1")[1:]
        for number, each in enumerate(every):
            for more in ({"after": each["id"]}, {"after": "0-0-1", "headers": {"last-event-id": each["id"]}}):
                assert [one["id"] for one in told(both, **more)[1:]] == [one["id"] for one in every[number + 1 :]]
        assert [each["event"] for each in told(both)] == ["ready"], "without an id it begins now"

    def test_filters_choose(self, both: Api) -> None:
        one, other = both.failed(), both.failed(task=FEATURES)
        key = both.texts[Role.VIEWER]
        for query, jobs, kinds in (
            ({"task": "features"}, {other}, {"item_failed", "job_ended"}),
            ({"job": one}, {one}, {"item_failed", "job_ended"}),
            ({"kind": "job_ended"}, {one, other}, {"job_ended"}),
            ({"kind": ["acted", "changed"]}, set(), set()),
            ({"job": 99}, set(), set()),
        ):
            found = told(both, apikey=key, after="0-0-1", **query)[1:]
            assert {int(each["job"]) for each in found} == jobs
            assert {each["event"] for each in found} == kinds

    def test_a_key_that_is_limited_to_pipelines_hears_of_theirs_alone(self, both: Api) -> None:
        both.failed()
        mine = both.failed(task=FEATURES)
        key = both.key(Role.VIEWER, "features")
        assert {each["job"] for each in told(both, apikey=key, after="0-0-1")[1:]} == {str(mine)}
        found = both.call("GET", "/api/stream", apikey=key, params={"task": "add"})
        assert (found.status_code, found.json()["code"]) == (403, "forbidden")

    def test_the_end_of_a_bulk_operation_is_told_with_what_came_of_it(self, both: Api) -> None:
        job = both.failed(12)
        asked = {"action": "retry", "filter": {"task": "add", "job": str(job)}, "type": "restart", "name": "after the repair"}
        made = both.post("/api/work-items/bulk", asked, status=202)["id"]
        while both.harness.bulk_pages.run_due():
            both.harness.clock.pass_(1)
        every = told(both, after="0-0-1")[1:]
        ended = every[-1]
        assert ended == {
            "id": ended["id"], "event": "operation_ended", "operation": made, "name": "after the repair", "action": "retry",
            "type": "restart", "state": "DONE", "error": None, "matched": 12, "done": 12, "left_alone": {},
            "actor": "the operator", "at": ended["at"],
        }  # fmt: skip
        assert [each["event"] for each in told(both, after=every[-2]["id"])[1:]] == ["operation_ended"]
        assert [each["event"] for each in told(both, after=ended["id"])[1:]] == []
        for query, heard in (({"task": "add"}, 1), ({"job": job}, 1), ({"task": "features"}, 0), ({"job": job + 1}, 0)):
            assert len(told(both, after="0-0-1", kind="operation_ended", **query)[1:]) == heard, query
        assert told(both, after="0-0-1", kind="job_ended")[-1]["event"] == "job_ended"

    def test_a_limited_key_hears_of_the_ends_of_operations_that_it_may_look_at(self, both: Api) -> None:
        both.failed()
        asked = {"action": "retry", "filter": {"task": "add"}}
        own = both.post("/api/work-items/bulk", asked, status=202, apikey=both.key(Role.OPERATOR, "add"))["id"]
        both.post("/api/work-items/bulk", {"action": "cancel", "filter": {"task": "add"}}, status=202)
        while both.harness.bulk_pages.run_due():
            both.harness.clock.pass_(1)
        for pipelines, heard in ((("add",), [own]), (("add", "features"), [own]), (("features",), [])):
            found = told(both, apikey=both.key(Role.VIEWER, *pipelines), after="0-0-1", kind="operation_ended")[1:]
            assert [each["operation"] for each in found] == heard, pipelines
        assert len(told(both, after="0-0-1", kind="operation_ended")[1:]) == 2

    def test_what_a_workflow_calls_is_told_as_of_its_pipeline(self, both: Api) -> None:
        from mulligan.core.submission import NewCall, NewItem, Options
        from mulligan.testing.factories import a_definition

        flow = a_definition("flow", executor="workflow")
        job = both.harness.submit(flow, 1)
        worker = both.worker(flow, ADD)
        worker.call(worker.take(), NewCall("add#1", "d", NewItem("0", "{}"), ADD, Options()))
        worker.fail(next(item for item in worker.claim(5) if item.job != job), failure=None)
        for query in ({}, {"task": "flow"}, {"task": "add"}, {"job": job}):
            (failed,) = told(both, after="0-0-1", kind="item_failed", **query)[1:]
            assert (failed["pipeline"], failed["task"], failed["root_job"]) == ("flow", "add", str(job))
        assert len(told(both, apikey=both.key(Role.VIEWER, "flow"), after="0-0-1", kind="item_failed")) == 2
        assert len(told(both, apikey=both.key(Role.VIEWER, "add"), after="0-0-1", kind="item_failed")) == 1

    @pytest.mark.parametrize("query", [{"after": "x"}, {"kind": "none"}, {"job": 0}, {"job": "x"}, {"task": "\0"}])
    def test_what_is_wrong_in_a_request_is_said(self, api: Api, query: dict[str, Any]) -> None:
        assert api.call("GET", "/api/stream", params=query).status_code == 422

    @pytest.mark.parametrize("kind", ["sqlite", "postgres"])
    def test_an_id_that_is_too_old_or_of_elsewhere_is_told_and_it_begins_now(
        self, kind: str, request: pytest.FixtureRequest
    ) -> None:
        database = request.getfixturevalue("an_empty_database")() if kind == "postgres" else None
        api = Api(database, keep_s=3_600.0)
        api.failed()
        last = told(api, after="0-0-1700000000000")[-1]["id"]
        assert told(api, after=last)[0]["event"] == "ready"
        api.harness.clock.pass_(3_601)
        beyond = f"{10**17}-{10**17}-1700000003601"
        for more in ({"after": last}, {"after": beyond}, {"headers": {"last-event-id": "of another server"}}):
            (reset,) = told(api, **more)
            assert reset["event"] == "reset"
            assert reset["reason"]
            assert [each["event"] for each in told(api, after=reset["id"])] == ["ready"]
        api.harness.store.close()


class TestListening:
    def test_what_happens_is_told_as_it_happens_and_changes_by_the_second(self, live: Api) -> None:
        async def story() -> None:
            async with listening(live) as ear, listening(live, "kind=changed&task=features") as other:
                assert ear.status == 200
                assert ear.headers["x-accel-buffering"] == "no"
                assert "content-length" not in ear.headers
                assert ear.text.startswith("retry: 2000\n\nid: ")
                job = await asyncio.to_thread(live.failed)
                await ear.hears("job_ended")
                (changed, *_) = await ear.hears("changed")
                assert changed["jobs"] == [str(job)]
                mine = await asyncio.to_thread(live.failed, 1, FEATURES)
                await other.hears("changed")
                assert [each["jobs"] for each in parsed(other.text) if each["event"] != "ready"] == [[str(mine)]]
                await asyncio.to_thread(live.post, "/api/pipelines/add/pause")
                await ear.until(lambda: any(each.get("pipelines") == ["add"] for each in parsed(ear.text)))

        asyncio.run(story())

    def test_what_happened_before_and_what_happens_is_told_once_each(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stream, "PAGE", 3)

        def fail_twenty() -> list[int]:
            return [live.failed() for _ in range(20)]

        async def story() -> None:
            live.failed(10)
            async with listening(live) as first:
                writing: asyncio.Future[list[int]] = asyncio.ensure_future(asyncio.to_thread(fail_twenty))
                async with listening(live, "after=0-0-1700000000000&kind=item_failed&kind=job_ended") as ear:
                    await writing
                    await ear.hears("job_ended", 21)
                    ids = [each["id"] for each in parsed(ear.text)[1:]]
                    assert len(ids) == len(set(ids)) == 51
                    assert len(await first.hears("job_ended", 20)) == 20

        asyncio.run(story())

    def test_while_nothing_happens_a_comment_keeps_it_open_and_its_id_young(
        self, live: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stream, "HEARTBEAT_S", 0.02)

        async def story() -> None:
            async with listening(live) as ear:
                await ear.until(lambda: ear.text.count("\n:\nid: ") >= 2)

        asyncio.run(story())

    def test_one_whose_key_or_login_session_ends_hears_no_more(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feeding, "LOOK_S", 0.05)
        ann = live.keys.create("ann", Role.VIEWER, None, ASKER).text
        browser = live.client("")
        browser.post("/login", json={"key": live.texts[Role.VIEWER]})
        (cookie,) = browser.cookies.jar

        async def story() -> None:
            async with (
                listening(live) as stays,
                listening(live, apikey=ann) as by_key,
                listening(live, cookie=f"{cookie.name}={cookie.value}") as by_login,
            ):
                await asyncio.to_thread(live.keys.revoke, "ann", ASKER)
                await by_key.until(lambda: by_key.whole)
                assert not by_login.whole
                proof = {"origin": "http://127.0.0.1:7878", "x-csrf-token": csrf_token_of(str(cookie.value))}
                await asyncio.to_thread(browser.post, "/logout", headers=proof)
                await by_login.until(lambda: by_login.whole)
                assert not stays.whole

        asyncio.run(story())

    def test_one_that_reads_too_slowly_is_cut_off_and_no_other(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(listeners, "ROOM", 12)  # each time three messages come: who reads has never so many waiting
        monkeypatch.setattr(stream, "CUT_S", 0.01)

        async def story() -> None:
            async with listening(live) as slow, listening(live) as ear:
                slow.reads.clear()
                for number in range(1, 12):
                    await asyncio.to_thread(live.failed)
                    await ear.hears("job_ended", number)
                await asyncio.to_thread(until, lambda: live.told, "what is told here")
                assert live.told[0] == ("stream cut off", {"key": "the operator", "why": "too slow"})
                assert not slow.whole
                last = parsed(slow.text)[-1]["id"]
                slow.reads.set()
            assert len([each for each in told(live, after=last) if each["event"] == "job_ended"]) == 11

        asyncio.run(story())

    def test_when_the_server_ends_everybody_is_told_and_nobody_is_let_in(self, live: Api) -> None:
        async def story() -> None:
            async with listening(live) as ear:
                await asyncio.to_thread(live.app.stop)
                await ear.until(lambda: ear.whole)
            async with listening(live) as late:
                assert (late.status, json.loads(late.text)["code"]) == (503, "server_stopping")

        asyncio.run(story())

    def test_more_than_a_server_holds_are_asked_to_come_later(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stream, "MOST", 1)

        async def story() -> None:
            async with listening(live), listening(live) as second:
                assert (second.status, second.headers["retry-after"]) == (503, "5")
            async with listening(live) as later:
                assert later.status == 200, "the first has gone"

        asyncio.run(story())

    def test_a_store_that_is_away_for_a_while_loses_nothing(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feeding, "LOOK_S", 0.05)
        away = threading.Event()

        def hurt(point: str) -> None:
            if away.is_set() and threading.current_thread().name == "mulligan stream":
                from mulligan.core.errors import StoreAway

                raise StoreAway(f"away at {point}")

        async def story() -> None:
            from mulligan.engine.feed import Feed

            real = Feed.after
            monkeypatch.setattr(Feed, "after", lambda *given: (hurt("after"), real(*given))[1])
            async with listening(live) as ear:
                away.set()
                await asyncio.to_thread(live.failed)
                await asyncio.to_thread(until, lambda: live.told, "what is told here")
                assert live.told[0][0] == "stream waits for the store"
                away.clear()
                await ear.hears("job_ended")

        asyncio.run(story())


def test_too_many_messages_for_one_are_dropped_with_it() -> None:
    listener = Listener(Wish(Principal("k", "ann", Role.VIEWER)))
    for _ in range(ROOM):
        listener.offer(None, b"x")
    assert listener.over is None
    listener.offer(None, b"x")
    assert listener.over == "too slow"
    assert listener.cut.is_set()
    assert listener.take() == []


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'runs.db'}", {}
        return
    place: Place = request.getfixturevalue("an_empty_place")()
    yield place.url, {"schema": place.schema}


class Following(threading.Thread):
    """Follows a stream as a browser does: comes again with the last id, whatever happens to the server."""

    def __init__(self, url: str, key: str, last: str | None = None) -> None:
        super().__init__(daemon=True)
        self._url, self._key = url, key
        self.last = last
        self.found: list[Message] = []
        self.over = threading.Event()
        self.clean = 0
        self.start()

    def run(self) -> None:
        while not self.over.is_set():
            headers = {"apikey": self._key, **({"last-event-id": self.last} if self.last else {})}
            try:
                with httpx.stream("GET", f"{self._url}/api/stream", headers=headers, timeout=WAIT_S) as answer:
                    text = ""
                    for piece in answer.iter_text():
                        blocks = (text + piece).split("\n\n")
                        text = blocks.pop()
                        for each in parsed("".join(f"{block}\n\n" for block in blocks)):
                            self.last = each["id"] or self.last
                            self.found.append(each)
                        if self.over.is_set():
                            return
                    self.clean += answer.status_code == 200
            except httpx.TransportError:
                pass
            self.over.wait(0.02)

    def ended(self) -> list[str]:
        return [each["job"] for each in self.found if each["event"] == "job_ended"]


def test_through_kills_of_the_server_every_event_is_heard_once_and_from_the_other_server_too(
    store: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    url, more = store
    key = cli(url, tmp_path, "keys", "create", "--role", "operator", "--name", "ann", **more).stdout.strip()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    jobs: list[str] = []
    with running(url, tmp_path, "dev", str(TASKS), **more) as dev:
        with running(url, tmp_path, ends=None, port=port, **more) as server:
            following = Following(server.url, key)
            until(lambda: following.last, "the place to go on from")
            jobs += [dev.post("/api/jobs", key, {"task": "add", "args": {"a": 1}}).json()["id"] for _ in range(5)]
            until(following.ended, "something")
            server.process.kill()
        jobs += [dev.post("/api/jobs", key, {"task": "add", "args": {"a": 1}}).json()["id"] for _ in range(5)]
        with running(url, tmp_path, port=port, **more) as server:
            until(lambda: len(following.ended()) >= 10, "all ends")
            clean = following.clean
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(WAIT_S) == 0
            until(lambda: following.clean > clean, "an end in order, and no broken connection")
        following.over.set()
    following.join(WAIT_S)
    assert sorted(following.ended(), key=int) == sorted(jobs, key=int)
    ids = [each["id"] for each in following.found if each["event"] == "job_ended"]
    assert len(ids) == len(set(ids))


def test_a_key_of_dev_hears_too(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    with running(store, tmp_path, "dev", str(TASKS)) as dev:
        following = Following(dev.url, a_key(store))
        until(lambda: following.last, "the beginning")
        own = dev.said.partition("Key:   ")[2].split()[0]
        mine = Following(dev.url, own)
        until(lambda: mine.last, "the beginning")
        dev.post("/api/jobs", own, {"task": "add", "args": {"a": 1}})
        until(lambda: following.ended() and mine.ended(), "the end of the job")
        following.over.set()
        mine.over.set()

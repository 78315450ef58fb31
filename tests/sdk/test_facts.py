"""Facts read off live exceptions: those of real libraries, and those that do not want to be read."""

from __future__ import annotations

import asyncio
import email.message
import errno
import http.client
import io
import json
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import types
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import Enum

import httpx
import pytest
import requests
import urllib3

from mulligan.config.rules import default_rules
from mulligan.core.errors import TaskError
from mulligan.core.failure import Classification, ErrorFacts, Failure, Kind, RuleSet, classify, failure_from_json, failure_to_json
from mulligan.core.job import FailureClass
from mulligan.core.signals import PermanentError, RateLimited
from mulligan.sdk.facts import failure_of

TRANSIENT, RATE_LIMITED, INFRASTRUCTURE, TIMEOUT, PERMANENT, UNKNOWN = FailureClass


def caught(action, *args, **kwargs) -> BaseException:
    try:
        action(*args, **kwargs)
    except BaseException as error:
        return error
    raise AssertionError("it did not fail")


def judged(error: BaseException) -> Classification:
    return classify(failure_of(error), (), RuleSet(), default_rules())


def first(error: BaseException) -> ErrorFacts:
    return failure_of(error).chain[0]


def requests_error(status: int, **headers: str) -> BaseException:
    response = requests.Response()
    response.status_code = status
    response.headers.update(headers)
    return caught(response.raise_for_status)


def httpx_error(status: int, **headers: str) -> BaseException:
    request = httpx.Request("GET", "http://localhost/")
    return caught(httpx.Response(status, request=request, headers=headers).raise_for_status)


def urllib_error(status: int, **headers: str) -> BaseException:
    message = email.message.Message()
    for name, value in headers.items():
        message[name] = value
    return urllib.error.HTTPError("http://localhost/", status, "no", message, io.BytesIO())


ANSWERED = [requests_error, httpx_error, urllib_error]


@pytest.fixture
def closed_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets it, and it refuses
        yield taken.getsockname()[1]


@pytest.mark.parametrize("answered", ANSWERED)
@pytest.mark.parametrize(("status", "failure_class"), [(404, PERMANENT), (408, TRANSIENT), (409, UNKNOWN), (503, TRANSIENT)])
def test_the_status_of_an_answer_is_found_whatever_the_client(answered, status, failure_class):
    error = answered(status)
    assert first(error).http_status == status
    assert judged(error).failure_class is failure_class


@pytest.mark.parametrize("answered", ANSWERED)
def test_a_retry_after_in_seconds_is_found_whatever_the_client(answered):
    found = judged(answered(503, **{"Retry-After": "17"}))
    assert (found.failure_class, found.retry_after_s) == (RATE_LIMITED, 17.0)


def test_a_retry_after_as_a_date_is_counted_by_the_clock_of_who_sent_it():
    now = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
    headers = {"Date": format_datetime(now), "Retry-After": format_datetime(now + timedelta(seconds=90))}
    assert first(requests_error(429, **headers)).retry_after_s == 90.0


def test_a_retry_after_as_a_date_without_a_clock_is_counted_by_ours():
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    assert 500 < first(httpx_error(429, **{"Retry-After": soon})).retry_after_s <= 600
    assert first(httpx_error(429, **{"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})).retry_after_s == 0.0


@pytest.mark.parametrize(("value", "wait"), [("soon", None), ("-5", 0.0), ("nan", None), ("1e300", 316224000.0), ("", None)])
def test_a_retry_after_that_makes_no_sense_does_no_harm(value, wait):
    assert first(requests_error(429, **{"Retry-After": value})).retry_after_s == wait


def test_a_rate_limit_raised_by_the_task_carries_its_wait():
    assert judged(RateLimited("busy", retry_after="2m")).retry_after_s == 120.0
    assert (
        judged(caught(lambda: raise_from(RateLimited("busy"), requests_error(429, **{"Retry-After": "4"})))).retry_after_s == 4.0
    )


def raise_from(error, cause):
    raise error from cause


def test_a_refused_connection_is_transient_whatever_the_client(closed_port):
    url = f"http://127.0.0.1:{closed_port}/"
    for error in (
        caught(socket.create_connection, ("127.0.0.1", closed_port)),
        caught(requests.get, url, timeout=5),
        caught(httpx.get, url, timeout=5, trust_env=False),
        caught(urllib.request.urlopen, url, timeout=5),
        caught(urllib3.PoolManager().request, "GET", url, retries=1),
    ):
        found = judged(error)
        assert (found.failure_class, found.rule) == (TRANSIENT, "os.transient"), error
        assert "ECONNREFUSED" in found.why


def test_a_server_that_does_not_speak_tls_is_transient():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" * 10)

        thread = threading.Thread(target=answer)
        thread.start()
        error = caught(urllib.request.urlopen, f"https://127.0.0.1:{server.getsockname()[1]}/", timeout=5)
        thread.join()
    assert judged(error).failure_class is TRANSIENT
    assert isinstance(error.reason, ssl.SSLError)


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    error.reason = "CERTIFICATE_VERIFY_FAILED"
    return error


def test_a_certificate_that_is_not_trusted_is_permanent_also_when_wrapped():
    inner = urllib3.exceptions.MaxRetryError(None, "/", urllib3.exceptions.SSLError(untrusted()))
    wrapped = [untrusted(), urllib.error.URLError(untrusted()), requests.exceptions.SSLError(inner), inner]
    wrapped.append(httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"))
    assert [judged(error).failure_class for error in wrapped] == [PERMANENT] * len(wrapped)
    assert first(untrusted()).errno is None


def test_a_broken_handshake_is_transient_also_when_wrapped():
    broken = ssl.SSLEOFError(8, "EOF occurred in violation of protocol")
    assert judged(broken).failure_class is TRANSIENT
    assert judged(requests.exceptions.SSLError(urllib3.exceptions.SSLError(broken))).failure_class is TRANSIENT
    assert judged(requests.exceptions.SSLError("broken")).failure_class is TRANSIENT


@pytest.mark.parametrize(("number", "failure_class"), [(socket.EAI_AGAIN, TRANSIENT), (socket.EAI_NONAME, UNKNOWN)])
def test_a_name_that_is_not_found_is_told_from_one_that_could_not_be_asked_for(number, failure_class):
    error = socket.gaierror(number, "no")
    assert first(error).errno in {"EAI_AGAIN", "EAI_NONAME"}
    wrapped = requests.exceptions.ConnectionError(urllib3.exceptions.MaxRetryError(None, "/", error))
    assert [judged(each).failure_class for each in (error, wrapped)] == [failure_class] * 2


@pytest.mark.parametrize(
    ("reason", "failure_class"),
    [
        ("too many 503 error responses", TRANSIENT),
        ("too many 429 error responses", RATE_LIMITED),
        ("too many redirects", PERMANENT),
    ],
)
def test_retries_of_the_client_that_ran_out_have_the_class_of_their_reason(reason, failure_class):
    ran_out = urllib3.exceptions.MaxRetryError(None, "/", urllib3.exceptions.ResponseError(reason))
    assert judged(ran_out).failure_class is failure_class
    assert judged(requests.exceptions.RetryError(ran_out)).failure_class is failure_class


@pytest.mark.parametrize(
    ("error", "failure_class"),
    [
        (requests.exceptions.ReadTimeout("slow"), TRANSIENT),
        (requests.exceptions.ConnectTimeout("slow"), TRANSIENT),
        (requests.exceptions.ChunkedEncodingError("cut"), TRANSIENT),
        (requests.exceptions.ProxyError("gone"), TRANSIENT),
        (requests.exceptions.MissingSchema("x"), PERMANENT),
        (requests.exceptions.TooManyRedirects("x", response=requests.Response()), PERMANENT),
        (requests.exceptions.JSONDecodeError("x", "y", 0), UNKNOWN),
        (httpx.ReadTimeout("slow"), TRANSIENT),
        (httpx.PoolTimeout("slow"), TRANSIENT),
        (httpx.RemoteProtocolError("cut"), TRANSIENT),
        (httpx.ReadError("cut"), TRANSIENT),
        (httpx.UnsupportedProtocol("x"), PERMANENT),
        (httpx.InvalidURL("x"), PERMANENT),
        (urllib3.exceptions.ProtocolError("Connection aborted.", ConnectionResetError(104, "reset")), TRANSIENT),
        (urllib3.exceptions.LocationParseError("x"), PERMANENT),
        (http.client.IncompleteRead(b"", 5), TRANSIENT),
        (http.client.RemoteDisconnected("gone"), TRANSIENT),
        (json.JSONDecodeError("x", "y", 0), UNKNOWN),
        (asyncio.CancelledError(), UNKNOWN),
        (subprocess.TimeoutExpired("x", 5), TRANSIENT),
        (subprocess.CalledProcessError(75, "x"), TRANSIENT),
        (subprocess.CalledProcessError(-9, "x"), INFRASTRUCTURE),
        (subprocess.CalledProcessError(2, "x"), PERMANENT),
        (OSError(errno.ENOSPC, "full"), INFRASTRUCTURE),
        (PermanentError("no"), PERMANENT),
        (TaskError("no task in flow.py"), PERMANENT),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_libraries_have_their_class(error, failure_class):
    assert judged(error).failure_class is failure_class


def test_a_task_that_cannot_be_loaded_for_want_of_the_network_is_not_permanent():
    assert judged(caught(raise_from, TaskError("flow.py cannot be imported"), ConnectionResetError())).failure_class is TRANSIENT


def test_sqlite_says_whether_it_was_busy(tmp_path):
    one, two = (sqlite3.connect(tmp_path / "file.db", timeout=0, isolation_level=None) for _ in range(2))
    one.execute("BEGIN IMMEDIATE")
    busy, wrong = caught(two.execute, "BEGIN IMMEDIATE"), caught(two.execute, "SELEKT")
    one.close()
    two.close()
    assert (judged(busy).failure_class, judged(wrong).failure_class) == (TRANSIENT, UNKNOWN)


def stranger(name: str, **attributes: object) -> BaseException:
    """An exception of a library that is not installed here, told by its module's name as the real one is."""
    module, _, short = name.rpartition(".")
    return type(short, (Exception,), {"__module__": module, **attributes})("said so")


class StatusCode(Enum):
    UNAVAILABLE = 14


def test_providers_codes_are_found():
    assert first(stranger("psycopg.errors.DeadlockDetected", sqlstate="40P01")).code == "40P01"
    assert first(stranger("psycopg2.errors.DeadlockDetected", pgcode="40P01")).code == "40P01"
    assert judged(stranger("grpc._channel._InactiveRpcError", code=lambda _: StatusCode.UNAVAILABLE)).rule == "grpc.transient"
    answer = {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
    assert first(stranger("botocore.exceptions.ClientError", response=answer)).code == "SlowDown"
    bare = {"Error": {"Code": "404"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
    assert judged(stranger("botocore.exceptions.ClientError", response=bare)).rule == "http.4xx"


def test_a_code_that_is_no_http_status_is_not_taken_for_one():
    assert first(stranger("pymongo.errors.OperationFailure", code=189)).http_status is None
    assert first(stranger("google.api_core.exceptions.GoogleAPICallError", code=429)).http_status == 429
    assert first(stranger("aiohttp.ClientResponseError", status=503)).http_status == 503
    assert first(stranger("odd.Error", status=True, status_code="503")).http_status is None


def test_an_explicit_cause_is_followed_then_what_was_being_handled_unless_suppressed():
    def handled(cause=...):
        try:
            raise KeyError("k")
        except KeyError:
            if cause is ...:
                raise ValueError("outer")  # noqa: B904 - the point of it
            raise ValueError("outer") from cause

    def names(error):
        return [facts.types[0] for facts in failure_of(error).chain]

    assert names(caught(handled)) == ["ValueError", "KeyError"]
    assert names(caught(handled, OSError("o"))) == ["ValueError", "OSError"]
    assert names(caught(handled, None)) == ["ValueError"]


def test_a_chain_that_bites_its_tail_ends():
    one, two = ValueError("1"), ValueError("2")
    one.__cause__, two.__cause__ = two, one
    assert [facts.message for facts in failure_of(one).chain] == ["1", "2"]


def test_a_chain_is_followed_twenty_deep():
    error: Exception = ValueError("last")
    for number in range(5000):
        outer = ValueError(str(number))
        outer.__cause__ = error
        error = outer
    assert len(failure_of(error).chain) == 20


def test_members_of_a_group_keep_a_cause_that_they_share():
    shared = FileNotFoundError(2, "gone")
    members = [ValueError("1"), ValueError("2")]
    for member in members:
        member.__cause__ = shared
    found = first(ExceptionGroup("many", members))
    assert [[facts.types[0] for facts in chain] for chain in found.members] == [["ValueError", "FileNotFoundError"]] * 2
    assert (
        judged(ExceptionGroup("many", [ConnectionError(), ExceptionGroup("in", [PermanentError()])])).failure_class is PERMANENT
    )


def test_no_more_than_a_hundred_exceptions_of_a_failure_are_looked_at():
    def chained():
        error = ValueError("0")
        for number in range(1, 19):
            error = caught(raise_from, ValueError(str(number)), error)
        return error

    found = first(ExceptionGroup("many", [chained() for _ in range(10)]))
    assert sum(map(len, found.members)) == 99


def test_a_huge_group_is_bounded():
    many = ExceptionGroup("many", [ValueError("x" * 5000) for _ in range(5000)])
    nested: Exception = ValueError("in")
    for _ in range(300):
        nested = ExceptionGroup("out", [nested])
    for group in (many, nested):
        failure = failure_of(group)
        assert len(failure_to_json(failure)) < 300_000
        assert failure_from_json(failure_to_json(failure)) == failure
        assert judged(group).failure_class is UNKNOWN


@pytest.mark.parametrize(
    ("code", "exit_code", "text"),
    [
        (None, 0, "exit 0"),
        (3, 3, "3"),
        (True, 1, "True"),
        (256 + 7, 7, "263"),
        (-1, 255, "-1"),
        ("no config", 1, "no config"),
        ([], 1, "[]"),
    ],
)
def test_leaving_by_sys_exit_has_the_code_that_the_process_would_have_had(code, exit_code, text):
    failure = failure_of(caught(sys.exit, code))
    assert (failure.kind, failure.exit_code, failure.error_type) == (Kind.EXIT, exit_code, f"exit {exit_code}")
    assert failure.text == text


def test_leaving_because_of_an_error_has_the_class_of_the_error():
    def leave():
        try:
            raise requests_error(503)
        except requests.HTTPError:
            sys.exit(1)

    assert judged(caught(leave)).rule == "http.503"


def hostile(**attributes):
    return type("Hostile", (Exception,), {"__module__": "job", **attributes})("x")


def explode(*_):
    raise SystemExit("boom")


class Shouting(type):
    def __getattribute__(cls, name):
        if name in {"__qualname__", "__module__", "__mro__", "__name__"}:
            raise RuntimeError(name)
        return super().__getattribute__(name)


class Text(str):
    __slots__ = ()

    def __getitem__(self, _):
        raise RuntimeError("no")

    def encode(self, *_):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "make",
    [
        lambda: hostile(__str__=explode, __repr__=explode),
        lambda: hostile(__str__=lambda _: 5),
        lambda: hostile(__getattribute__=explode),
        lambda: hostile(__getattr__=explode),
        lambda: hostile(__class__=property(explode)),
        lambda: hostile(
            response=property(explode), status_code=property(explode), reason=property(explode), args=property(explode)
        ),
        lambda: hostile(__cause__=property(explode), __context__=property(explode), __traceback__=property(explode)),
        lambda: hostile(response=types.SimpleNamespace(headers=5, status_code="x")),
        lambda: hostile(response={"Error": 5}),
        lambda: hostile(retry_after=float("nan")),
        lambda: hostile(__notes__=5),
        lambda: hostile(__notes__=[object(), "note"]),
        lambda: hostile(__module__=None),
        lambda: hostile(__str__=lambda _: Text("x" * 9000)),
        lambda: Shouting("Odd", (Exception,), {})("x"),
        lambda: type("Wide", (Exception,), {"__qualname__": "x" * 100_000})("x"),
        lambda: OSError("one argument"),
        lambda: OSError("not", "numbers"),
        lambda: OSError(10**30, "huge"),
        lambda: UnicodeDecodeError("utf-8", b"\xff" * 100, 0, 1, "bad"),
        lambda: ValueError("\0 \ud800 \udcff"),
        ValueError,
        lambda: KeyError(None),
    ],
)
def test_an_exception_that_does_not_want_to_be_read_is_read_still(make):
    error = make()
    failure = failure_of(caught(raise_, error))
    assert isinstance(failure, Failure)
    assert failure.chain[0].types
    assert failure_from_json(failure_to_json(failure)) == failure
    failure_to_json(failure).encode()
    classify(failure, (), RuleSet(), default_rules())


def raise_(error):
    raise error


def test_a_message_that_cannot_be_read_says_so():
    assert failure_of(hostile(__str__=explode)).text.startswith("(its message could not be read")


def test_what_databases_refuse_is_replaced():
    failure = failure_of(caught(raise_, ValueError("a\0b\ud800c")))
    assert failure.text == "a\ufffdb\ufffdc"
    assert "a\ufffdb\ufffdc" in failure.traceback


def test_a_huge_message_is_cut_to_its_beginning():
    failure = failure_of(caught(raise_, ValueError("ü" * 25_000_000)))
    assert len(failure.text.encode()) <= 4096
    assert failure.text.startswith("üüü")
    assert failure.text.endswith(" … (25,000,000 characters in all)")
    assert len(failure.traceback.encode()) < 10_000


def test_a_huge_traceback_keeps_its_beginning_and_its_end():
    error: Exception = ValueError("first " + "x" * 4000)
    for number in range(19):
        outer = ValueError(f"number {number} " + "\U0001f41f" * 4000)
        outer.__cause__ = error
        error = outer
    trace = failure_of(error).traceback
    assert len(trace.encode()) <= 65536
    assert trace.startswith("ValueError: first")
    assert "ValueError: number 18" in trace
    assert " bytes left out ..." in trace


def test_a_deep_recursion_shows_where_it_began_and_where_it_ended():
    def down(left):
        if left:
            down(left - 1)
        else:
            raise ValueError("deep")

    trace = failure_of(caught(down, 400)).traceback
    assert "calls left out" in trace
    assert trace.count("\n") < 250
    assert trace.splitlines()[-3:] == [trace.splitlines()[-3], '    raise ValueError("deep")', "ValueError: deep"]


def test_the_traceback_begins_with_the_users_code_and_shows_no_values():
    value = "of a local variable"
    namespace = {"__name__": "mulligan.worker.child", "raise_": raise_}
    exec("def run(error):\n    return raise_(error)\n", namespace)  # noqa: S102 - stands in for a frame of our own
    error = ValueError("bad")
    try:
        namespace["run"](error)
    except ValueError:
        trace = error.__traceback__.tb_next
    lines = failure_of(error.with_traceback(trace)).traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith("in raise_")
    assert lines[-1] == "ValueError: bad"
    assert value not in "".join(lines)


def test_our_own_frames_are_shown_where_there_are_no_others():
    namespace = {"__name__": "mulligan.worker.child"}
    exec("def run():\n    raise ValueError('ours')\n", namespace)  # noqa: S102 - stands in for a frame of our own
    error = caught(namespace["run"])
    assert "in run" in failure_of(error.with_traceback(error.__traceback__.tb_next)).traceback


def test_causes_come_first_in_the_traceback_and_members_under_their_group():
    def fail():
        try:
            raise_(KeyError("cause"))
        except KeyError as cause:
            group = ExceptionGroup("many", [ValueError(str(number)) for number in range(7)])
            group.add_note("a note")
            raise group from cause

    trace = failure_of(caught(fail)).traceback
    places = [
        trace.index(part) for part in ("KeyError: 'cause'", "Which led to:", "ExceptionGroup: many", "a note", "Member 1 of 7")
    ]
    assert places == sorted(places)
    assert "2 more members left out" in trace


def test_the_answer_of_the_tasks_own_callable_is_kept():
    assert failure_of(ValueError("x"), PERMANENT).declared is PERMANENT
    assert classify(failure_of(ValueError("x"), TIMEOUT), (), RuleSet(), default_rules()).rule == "task.classify"


def test_nothing_is_imported_to_know_an_exception():
    code = (
        "import sys; import mulligan.sdk.facts as f; f.failure_of(ValueError('x')); import mulligan.core.failure\n"
        "print(sorted({'requests', 'httpx', 'urllib3', 'ssl', 'socket', 'asyncio', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

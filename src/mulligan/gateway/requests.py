"""Requests to a server: each sent until it is answered or its time is over, and done once however often it is sent."""

from __future__ import annotations

import contextlib
import json
import random
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from mulligan.core.durations import words
from mulligan.core.errors import ServerAway, ServerError
from mulligan.core.failure import Classification
from mulligan.core.job import FailureClass
from mulligan.core.retry import Policy, Retry
from mulligan.gateway.problems import code_of, error_of
from mulligan.sdk.continuing import current_traceparent
from mulligan.sdk.trying import Judged, Limit, MachineClock, Plan, Surroundings, Trial, judge, run
from mulligan.telemetry import Tell

T = TypeVar("T")

CONNECT_S = 5.0
ANSWER_S = 30.0
"""A server that sends nothing for so long is asked again."""
MAX_BODY = 1_048_576
"""Bytes that a server takes."""
AGAIN = Policy(
    {
        (FailureClass.TRANSIENT, FailureClass.INFRASTRUCTURE, FailureClass.TIMEOUT): Retry(
            max_attempts=100_000, delay=0.1, factor=2, max_delay=2, jitter="equal"
        ),
        FailureClass.RATE_LIMITED: Retry(max_attempts=100_000, delay=1),  # at least: what the server says is kept
    }
)
"""The time for all attempts is what ends them."""
LATER = Policy({FailureClass.RATE_LIMITED: Retry(max_attempts=100_000, delay=1)})
STREAMS = 50
"""So many answers without end a client has open: half of its connections."""
IN_PROGRESS = "request_in_progress"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, and by what key it is asked. `url` has no slash at its end."""

    url: str
    key: str
    patience_s: float
    """So long is a request sent again while the server is away."""

    def __repr__(self) -> str:
        return f"<the server at {self.url}>"


class Requests:
    """Sends requests to one server. May be used from any thread."""

    def __init__(self, address: Address, tell: Tell) -> None:
        """`tell` hears when a request has to wait for the server."""
        self.url = address.url
        self._patience_s = address.patience_s
        self._tell = tell
        self._streams = threading.Semaphore(STREAMS)
        # In the clear no proxy is asked, which would read the key; with TLS it cannot. No redirect is followed: the key would be.
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {address.key}", "Accept": "application/json"},
            trust_env=address.url.startswith("https://"),
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._http.close()

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Read something."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return self._sent("GET", path, AGAIN, self._patience_s, params=given)

    def get_once(self, path: str, within_s: float) -> Any:
        """Read something, trying once only, but where the server wants to be asked less often."""
        return self._sent("GET", path, LATER, min(within_s, self._patience_s))

    def post(self, path: str, body: Mapping[str, Any], query: Mapping[str, Any] | None = None) -> Any:
        """Ask for something that changes something; it is done once, however often it has to be sent."""
        return self.post_text(path, json.dumps(body), query)

    def post_text(self, path: str, body: str, query: Mapping[str, Any] | None = None) -> Any:
        """Ask for something with a body that is JSON already."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": secrets.token_urlsafe(18)}
        if (traceparent := current_traceparent()) is not None:
            headers["traceparent"] = traceparent
        return self._sent("POST", path, AGAIN, self._patience_s, content=body.encode(), headers=headers, params=query)

    def delete(self, path: str, query: Mapping[str, Any]) -> Any:
        """Take something away."""
        return self._sent("DELETE", path, AGAIN, self._patience_s, params=query)

    @contextlib.contextmanager
    def stream(self, path: str, query: Mapping[str, Any], silent_s: float) -> Iterator[httpx.Response | None]:
        """Open an answer without end, which raises httpx.HTTPError when it is cut; None where enough of them are open."""
        if not self._streams.acquire(blocking=False):
            yield None
            return
        try:
            timeout = httpx.Timeout(CONNECT_S, read=silent_s)
            headers = {"Accept": "text/event-stream"}
            with self._http.stream("GET", self.url + path, params=dict(query), headers=headers, timeout=timeout) as answer:
                yield answer
        finally:
            self._streams.release()

    def _sent(self, method: str, path: str, policy: Policy, total_s: float, **request: Any) -> Any:
        waiting = _Waiting(self.url, self._patience_s, self._tell)
        trial = Trial(Plan(policy, _judged, None, total_s), Surroundings(MachineClock(), random.random, lambda: waiting))
        try:
            answer = run(trial, lambda limit: self._answer(method, path, limit, request))
        except httpx.HTTPStatusError as error:
            raise error_of(error.response, self.url) from error
        except httpx.InvalidURL as error:
            raise ServerError(f"{self.url}{path}: this is no address: {error}") from error
        except httpx.HTTPError as error:
            tried = f", tried for {words(self._patience_s)}" if trial.number > 1 else ""
            raise ServerAway(f"the server at {self.url} cannot be reached{tried}: {_said(error)}") from error
        return _parsed(answer, self.url)

    def _answer(self, method: str, path: str, limit: Limit | None, request: dict[str, Any]) -> httpx.Response:
        left_s = ANSWER_S if limit is None else max(0.01, min(ANSWER_S, limit.seconds))
        timeout = httpx.Timeout(left_s, connect=min(CONNECT_S, left_s))
        answer = self._http.request(method, self.url + path, timeout=timeout, **request)
        if answer.is_redirect:
            raise ServerError(
                f"the server at {self.url} answers that it is elsewhere, at {answer.headers.get('location', '')}: the key is "
                "not sent there by itself; connect to that address"
            )
        if not answer.is_success:  # in the server's own words, which whoever waits is told
            raise httpx.HTTPStatusError(str(error_of(answer, self.url)), request=answer.request, response=answer)
        return answer


class _Waiting:
    """Tells once of a request that has to be sent again."""

    def __init__(self, url: str, patience_s: float, tell: Tell) -> None:
        self._url, self._patience_s, self._tell = url, patience_s, tell
        self._told = False

    def __call__(self, event: str, **facts: Any) -> None:
        if event == "will retry" and not self._told:
            self._told = True
            self._tell("waiting for the server", url=self._url, why=facts.get("error", ""), patience_s=self._patience_s)


def _judged(error: BaseException) -> Judged:
    """Judge by the rules for all errors of httpx, but for what this server says of requests that it is still answering."""
    failure, found = judge(error)
    if isinstance(error, httpx.HTTPStatusError) and code_of(error.response) == IN_PROGRESS:
        found = Classification(FailureClass.TRANSIENT, "server:in-progress", "the first request is being answered", 1.0)
    return failure, found


def _said(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__


def _parsed(answer: httpx.Response, url: str) -> Any:
    try:
        return json.loads(answer.content)
    except ValueError as error:
        kind = answer.headers.get("content-type", "nothing known")
        raise ServerError(f"what is at {url} is no server of Mulligan: it answered {answer.status_code} with {kind}") from error

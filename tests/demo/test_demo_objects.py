"""The object store fails as planned, each time in the same way, and each fault is what it is called on the wire."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from mulligan.demo.data import DAYS
from mulligan.demo.faults import MAX_FAULTS, Fault, Kind, fault, faults

StartStore = Callable[[int], str]

NAMES = [f"{kind}/{day}.csv" for day in DAYS for kind in ("flights", "weather")]
SEED = 7
KINDS: tuple[Kind, ...] = ("unavailable", "limited", "reset", "stall", "truncated")


def first_failing_by(kind: Kind) -> tuple[str, tuple[Fault, ...]]:
    return next((name, faults(SEED, name)) for name in NAMES if any(each.kind == kind for each in faults(SEED, name)))


def get(url: str, timeout: float = 10) -> bytes:
    with urllib.request.urlopen(url, timeout=timeout) as response:  # noqa: S310 - our own server
        body: bytes = response.read()
    return body


def stats(url: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = json.loads(get(f"{url}/stats"))
    return found


def test_the_plan_follows_from_the_seed_alone() -> None:
    plan = [faults(SEED, name) for name in NAMES]
    faults.cache_clear()
    assert [faults(SEED, name) for name in reversed(NAMES)] == plan[::-1]
    assert [faults(SEED + 1, name) for name in NAMES] != plan


@pytest.mark.parametrize("seed", range(20))
def test_every_kind_of_fault_happens_and_no_object_fails_too_often(seed: int) -> None:
    plans = [faults(seed, name) for name in NAMES]
    assert {each.kind for plan in plans for each in plan} == set(KINDS)
    assert max(map(len, plans)) <= MAX_FAULTS
    assert 60 < sum(1 for plan in plans if plan) < 240
    assert any(each.kind == "unavailable" and each.retry_after_s for plan in plans for each in plan)


def test_requests_after_the_planned_faults_are_served() -> None:
    name, plan = first_failing_by("unavailable")
    assert [fault(SEED, name, number + 1) for number in range(len(plan) + 2)] == [*plan, None, None]


def fails_as(kind: Kind, url: str) -> float | None:
    """Make a request that must fail in the given way, and return how long it was asked to wait."""
    match kind:
        case "unavailable" | "limited":
            with pytest.raises(urllib.error.HTTPError) as raised:
                get(url)
            with raised.value as answer:
                assert answer.code == (503 if kind == "unavailable" else 429)
                wait = answer.headers.get("Retry-After")
            return None if wait is None else float(wait)
        case "reset":
            with pytest.raises(ConnectionResetError) as reset:
                get(url)
            # A connection that is merely closed is reported by a subclass, without a number from the system.
            assert type(reset.value) is ConnectionResetError
            assert reset.value.errno
        case "stall":
            with pytest.raises(TimeoutError):
                get(url, timeout=0.3)
        case "truncated":
            with pytest.raises(http.client.IncompleteRead) as cut:
                get(url)
            assert cut.value.expected
    return None


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_is_on_the_wire_what_it_is_called(kind: Kind, start_store: StartStore, prepared: Path) -> None:
    url = start_store(SEED)
    name, plan = first_failing_by(kind)
    for each in plan:
        assert fails_as(each.kind, f"{url}/{name}") == each.retry_after_s
    assert get(f"{url}/{name}") == (prepared / name).read_bytes()
    assert stats(url) == {"asked": {name: len(plan) + 1}, "served": {name: 1}}


def test_a_new_process_goes_on_counting_where_the_last_one_ended(start_store: StartStore) -> None:
    name, plan = first_failing_by("truncated")
    url = start_store(SEED)
    for each in plan:
        fails_as(each.kind, f"{url}/{name}")
    url = start_store(SEED)
    assert get(f"{url}/{name}")
    assert stats(url) == {"asked": {name: len(plan) + 1}, "served": {name: 1}}


@pytest.mark.parametrize("path", ["/flights/2014-01-01.csv", "/flights/../complete.json", "/", "/flights/2013-01-01.csv?x"])
def test_what_is_no_object_is_not_found_and_not_counted(path: str, start_store: StartStore) -> None:
    url = start_store(SEED)
    with pytest.raises(urllib.error.HTTPError) as raised:
        get(url + path)
    with raised.value as answer:
        assert answer.code == 404
    assert stats(url) == {"asked": {}, "served": {}}

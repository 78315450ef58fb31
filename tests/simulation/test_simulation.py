"""Simulated worlds: whatever happens in them, no promise is broken; and where one is, a short story is told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sim_run
from sim_stores import emptied

from mulligan.store.interface import Database
from mulligan.store.postgres import Place
from mulligan.store.statements import statements

FOLDER = Path(__file__).parent
SEEDS, BLOCKS = 200, 10
ON_POSTGRES = 8
KNOWN = [int(line.split()[0]) for line in (FOLDER / "seeds.txt").read_text("utf-8").splitlines() if line[:1].isdigit()]
"""Seeds that broke a promise once."""


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_promise_is_broken_whatever_happens(block: int) -> None:
    for seed in range(block, SEEDS, BLOCKS):
        found = sim_run.run(seed)
        assert found.broken is None, sim_run.story(found)


@pytest.mark.parametrize("seed", KNOWN)
def test_what_broke_a_promise_once_does_so_no_more(seed: int) -> None:
    found = sim_run.run(seed)
    assert found.broken is None, sim_run.story(found)


@pytest.fixture
def on_postgres(shared_place: Callable[[], Place]) -> Iterator[Callable[[], Database]]:
    with emptied(shared_place()) as make:
        yield make


def test_the_same_holds_on_postgres(on_postgres: Callable[[], Database]) -> None:
    for seed in range(ON_POSTGRES):
        found = sim_run.run(seed, make=on_postgres)
        assert found.broken is None, sim_run.story(found)


def test_a_seed_says_all_that_happens() -> None:
    program = "import sim_run; print(sim_run.run(7).digest)"
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=FOLDER,
            env={"PYTHONHASHSEED": str(salt)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for salt in (1, 2, 3)
    }
    assert told == {sim_run.run(7).digest + "\n"}


def test_a_broken_promise_is_found_and_told_as_a_short_story(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "settle_items"
    without_fence = statements("sqlite")[name].replace("and items.version = v.version and items.status = 'STARTED'", "")
    monkeypatch.setitem(statements("sqlite"), name, without_fence)
    monkeypatch.setattr("mulligan.core.lifecycle.is_current", lambda item, run: True)
    runs = (sim_run.run(seed, sim_run.plan_of(seed, 40)) for seed in range(SEEDS))
    found = next(each for each in runs if each.broken is not None)
    short = sim_run.shrink(found)
    assert short.promise == found.promise
    assert len(short.plan) < len(found.plan) / 4
    told = sim_run.story(short)
    assert f"seed {found.seed}" in told
    assert "BROKEN" in told

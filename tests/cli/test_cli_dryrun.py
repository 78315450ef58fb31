"""Trying a policy out from the command line: nothing runs, and the schedule is that of a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cli_harness import Run

PIPELINE = """
from mulligan import BATCH, TRANSIENT, Context, Policy, Retry, task


class SchemaChanged(Exception):
    def __init__(self, a, b): ...


def never():
    raise AssertionError("it was run")


@task(retries=(5, 300, 600))
def linear(x: int) -> None:
    never()


@task(retries=BATCH, timeout="15m", total_timeout="12h", classify={SchemaChanged: TRANSIENT})
def nightly(ctx: Context) -> None:
    never()


@task(retries=3, classify=lambda error: TRANSIENT if "404" in str(error) else None)
def by_function() -> None:
    never()


@task
def once() -> None:
    never()
"""


@pytest.fixture
def pipeline(outside: Path, fresh_modules: None) -> str:
    file = outside / "rehearsed_pipeline.py"
    file.write_text(PIPELINE, "utf-8")
    return str(file)


def attempts(done: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = done.data["attempts"]
    return found


def test_the_linear_schedule_comes_out_to_the_second(bare: Run, pipeline: str) -> None:
    done = bare("dryrun", f"{pipeline}:linear", "--fail", "503*6", "--json")
    assert [each["at_s"] for each in attempts(done)] == [0, 300, 675, 1125, 1650, 2250]
    assert [each["wait_s"] for each in attempts(done)] == [300, 375, 450, 525, 600, None]
    assert done.data["reason"] == "budget_spent"
    assert done.code == 1


def test_people_see_what_was_judged_decided_and_why(bare: Run, pipeline: str) -> None:
    done = bare("dryrun", f"{pipeline}:linear", "--fail", "503,503,timeout,ok")
    assert done.code == 0
    lines = done.out.splitlines()
    assert [line.split()[:2] for line in lines[3:7]] == [["1", "0"], ["2", "300"], ["3", "675"], ["4", "1,125"]]
    assert lines[3].split() == ["1", "0", "s", "503", "TRANSIENT", "http.503", "will_retry", "300", "s"]
    assert "1 to 2: 503 from induced.InducedError is TRANSIENT by rule http.503" in done.out
    assert "3: timeout is TIMEOUT: the attempt ran longer than its timeout; the policy allows another attempt" in done.out
    assert lines[-1] == "Success after 4 attempts, 1,125 s (18 min 45 s) from the beginning: the task returned"


def test_attempts_after_the_last_word_succeed(bare: Run, pipeline: str) -> None:
    done = bare("dryrun", f"{pipeline}:linear", "--fail", "503", "--json")
    assert done.code == 0
    assert [each["induced"] for each in attempts(done)] == ["503", "ok"]


def test_each_word_is_judged_as_what_it_stands_for(bare: Run, pipeline: str) -> None:
    words = {
        "503": "TRANSIENT",
        "429+retry-after:4000": "RATE_LIMITED",
        "404": "PERMANENT",
        "ConnectionResetError": "TRANSIENT",
        "builtins.ValueError": "UNKNOWN",
        "json.JSONDecodeError": "UNKNOWN",
        "requests.exceptions.ConnectTimeout": "TRANSIENT",
        "SchemaChanged": "TRANSIENT",
        "transient": "TRANSIENT",
        "RATE_LIMITED": "RATE_LIMITED",
        "infrastructure": "INFRASTRUCTURE",
        "permanent": "PERMANENT",
        "unknown": "UNKNOWN",
        "retry-after:120": "RATE_LIMITED",
        "timeout": "TIMEOUT",
        "heartbeat": "TIMEOUT",
        "lost": "INFRASTRUCTURE",
        "stopped": "INFRASTRUCTURE",
        "signal:KILL": "INFRASTRUCTURE",
        "signal:9": "INFRASTRUCTURE",
        "exit:3": "UNKNOWN",
    }
    for word, expected in words.items():
        first = attempts(bare("dryrun", f"{pipeline}:nightly", "--fail", word, "--json"))[0]
        assert (word, first["failure_class"]) == (word, expected)


def test_what_the_other_side_asks_for_is_waited(bare: Run, pipeline: str) -> None:
    done = bare("dryrun", f"{pipeline}:linear", "--fail", "retry-after:1000,503+retry-after:20m,snooze:10m,ok", "--json")
    assert [each["at_s"] for each in attempts(done)] == [0, 1000, 2200, 2800]
    assert attempts(done)[2]["decision"] == "snoozed"
    assert attempts(done)[2]["charged"] is None


def test_a_timeout_takes_as_long_as_the_task_may(bare: Run, pipeline: str) -> None:
    done = bare("dryrun", f"{pipeline}:nightly", "--fail", "timeout,ok", "--takes", "1m", "--seed", "1", "--json")
    first, second = attempts(done)
    assert (first["took_s"], second["took_s"]) == (900, 60)
    assert second["at_s"] == 900 + first["wait_s"]
    slow = bare("dryrun", f"{pipeline}:nightly", "--fail", "ok", "--takes", "20m", "--json")
    assert {each["failure_class"] for each in attempts(slow)} == {"TIMEOUT"}
    assert slow.code == 1


def test_the_total_timeout_ends_it(bare: Run, pipeline: str) -> None:
    done = bare("dryrun", f"{pipeline}:nightly", "--fail", "503*9", "--json")
    assert done.data["reason"] == "cutoff"
    assert done.data["ended_at_s"] < 12 * 3600


def test_a_seed_chooses_the_jitter(bare: Run, pipeline: str) -> None:
    def waits(*more: str) -> list[float]:
        return [each["wait_s"] for each in attempts(bare("dryrun", f"{pipeline}:nightly", "--fail", "503*3", "--json", *more))]

    assert waits("--seed", "1") == waits("--seed", "1") != waits("--seed", "2")
    assert waits() != waits()


def test_processes_that_die_three_times_are_poison(bare: Run, pipeline: str) -> None:
    done = bare("dryrun", f"{pipeline}:nightly", "--fail", "signal:SEGV*5", "--json")
    assert done.data["reason"] == "poison"
    assert len(attempts(done)) == 3


def test_a_task_without_retries_runs_once(bare: Run, pipeline: str) -> None:
    done = bare("dryrun", f"{pipeline}:once", "--fail", "lost", "--json")
    assert done.data["reason"] == "outcome_unknown"
    assert attempts(done)[0]["outcome"] == "LOST"
    stopped = bare("dryrun", f"{pipeline}:once", "--fail", "stopped", "--json")
    assert attempts(stopped)[0]["outcome"] == "INTERRUPTED"
    assert "runs at most once" in bare("dryrun", f"{pipeline}:once", "--fail", "503").out


def test_a_tasks_own_function_is_asked(bare: Run, pipeline: str) -> None:
    assert bare("dryrun", f"{pipeline}:by_function", "--fail", "404").code == 0
    assert bare("dryrun", f"{pipeline}:by_function", "--fail", "403").code == 1


def test_the_rules_of_the_project_count(bare: Run, pipeline: str, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (outside / "rules.toml").write_text('[[rule]]\nid = "late"\nclass = "TRANSIENT"\nhttp = [404]\n', "utf-8")
    monkeypatch.setenv("MULLIGAN_RULES", str(outside / "rules.toml"))
    monkeypatch.setattr("mulligan._rules", None)
    done = bare("dryrun", f"{pipeline}:linear", "--fail", "404", "--json")
    assert attempts(done)[0]["rule"] == "late"


def test_a_published_task_is_known_without_its_code(mulligan: Run) -> None:
    done = mulligan("dryrun", "flaky", "--fail", "503*2", "--json")
    assert [each["at_s"] for each in attempts(done)] == [0, 3000, 6000]
    assert mulligan("dryrun", "unheard-of", "--fail", "503").code == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nonsense", "neither a word for a failure nor an exception"),
        ("os.path", "neither a word for a failure nor an exception"),
        ("KeyboardInterrupt", "neither a word"),
        ("999", "from 100 to 599"),
        ("exit:300", "from 0 to 255"),
        ("signal:NOISE", "no such signal"),
        ("snooze:soon", "not a duration"),
        ("503+later:5", "retry-after:SECONDS"),
        ("timeout+retry-after:5", "retry-after:SECONDS"),
        ("503*99999999999", "more than 10,000"),
        (" , ", "no failure is named"),
    ],
)
def test_a_word_that_is_none_is_refused_with_what_there_is(bare: Run, pipeline: str, words: str, said: str) -> None:
    done = bare("dryrun", f"{pipeline}:linear", "--fail", words)
    assert done.code == 2
    assert said in " ".join(done.err.split())


def test_a_file_of_several_tasks_asks_which_one(bare: Run, pipeline: str) -> None:
    for named in (pipeline, f"{pipeline}:unheard_of"):
        done = bare("dryrun", named, "--fail", "503")
        assert done.code == 1
        assert "linear, nightly, by_function, once" in done.err

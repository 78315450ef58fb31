"""What the engine says of an action, in the words of the pages."""

from __future__ import annotations

import pytest

from mulligan.console.words import plainly
from mulligan.core.definition import Definition
from mulligan.core.job import JobStatus
from mulligan.core.recovery import Judgement, Verdict, judge_overwrite
from mulligan.engine.commands import refusal
from mulligan.testing.factories import a_definition


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        ("is SUCCESS", "Success"),
        ("is STARTED", "Running"),
        ("is RETRY", "Retrying"),
        ("recover 1-38 (FAILURE)", "recover 1-38 (Failed)"),
        ("overwrite 1-38 (REVOKED)", "overwrite 1-38 (Manually Cancelled)"),
        ("2024-01-01 (never submitted)", "2024-01-01 (never submitted)"),
        (
            "such as that of item 1-3, which is STARTED: wait for them",
            "such as that of item 1-3, which is Running: wait for them",
        ),
        ("recover SUCCESS is FAILURE (REVOKED) (FAILURE)", "recover SUCCESS is FAILURE (REVOKED) (Failed)"),
        ("the job is still being cancelled", "the job is still being cancelled"),
    ],
)
def test_statuses_read_as_they_do_elsewhere_and_keys_stay_as_they_are(said: str, plain: str) -> None:
    assert plainly(said) == plain


def judged(then: Definition, now: Definition, rows: int | None) -> Judgement:
    return judge_overwrite(then, now, [rows], ["2024-01-03"])


@pytest.mark.parametrize("rows", [None, 0, 7])
@pytest.mark.parametrize("online", [None, False, True])
@pytest.mark.parametrize("before", [None, False, True])
def test_evidence_names_no_parameters_of_python(before: bool | None, online: bool | None, rows: int | None) -> None:
    then, now = (a_definition("features", online=each, offline=True) for each in (before, online))
    found = judged(then, now, rows)
    refused = [] if found.verdict is Verdict.SAFE else [refusal({"1-3": found}, 1)]
    said = " ".join(plainly(each) for each in (*found.evidence, *refused))
    assert "=" not in said
    assert "ctx." not in said
    assert not {"SAFE", "UNSAFE", "UNKNOWN", *JobStatus} & set(said.replace(",", " ").replace(";", " ").split())


def test_what_the_evidence_says_stays() -> None:
    task = a_definition("features", online=True, offline=True)
    first, second = (plainly(each) for each in judged(task, task, 7).evidence)
    assert first == "the task writes to the online store and wrote 7 rows"
    assert second.endswith("online values would go back in time unless these are run again too, in order")

"""Each way in which a rule can know a failure, at its edges, and how what it knew is said."""

from __future__ import annotations

from typing import Any

import pytest

from mulligan.core.events import Snoozed
from mulligan.core.failure import ErrorFacts, Failure, Kind, Rule, RuleSet, classify, failure_from_json, failure_to_json
from mulligan.core.job import FailureClass, JobStatus
from mulligan.core.lifecycle import decide
from mulligan.core.retry import Policy, Retry
from mulligan.testing.factories import a_failure, a_run, an_item

TRANSIENT, UNKNOWN = FailureClass.TRANSIENT, FailureClass.UNKNOWN
NOW = 1_700_000_900_000


def judged(failure: Failure, **rule: Any) -> tuple[FailureClass, str, str]:
    found = classify(failure, (), RuleSet(), RuleSet((Rule("mine", TRANSIENT, **rule),)))
    return found.failure_class, found.rule, found.why


def raised(*types: str, **facts: Any) -> Failure:
    return Failure(Kind.EXCEPTION, (ErrorFacts(types or ("app.Boom", "Exception"), "boom", **facts),))


@pytest.mark.parametrize(("status", "known"), [(499, False), (500, True), (502, True), (504, True), (505, False)])
def test_a_range_of_http_statuses_holds_both_ends(status: int, known: bool) -> None:
    found = judged(raised(http_status=status), http=((500, 504),))
    assert found[0] is (TRANSIENT if known else UNKNOWN)
    if known:
        assert found[1:] == ("mine", f"{status} from app.Boom is TRANSIENT by rule mine")


@pytest.mark.parametrize(
    ("failure", "rule", "why"),
    [
        (raised(errno="ENOSPC"), {"errnos": ("ENOSPC",)}, "ENOSPC from app.Boom is TRANSIENT by rule mine"),
        (raised(code="40001"), {"codes": ("40001",)}, "40001 from app.Boom is TRANSIENT by rule mine"),
        (raised(code="40001"), {"codes": ("40???",)}, "40001 from app.Boom is TRANSIENT by rule mine"),
        (Failure(Kind.EXIT, exit_code=3), {"exit_codes": (3,)}, "exit code 3 is TRANSIENT by rule mine"),
        (Failure(Kind.SIGNAL, signal=9), {"signals": ("SIGKILL",)}, "SIGKILL is TRANSIENT by rule mine"),
        (raised(exit_code=3), {"exit_codes": (3,)}, "exit code 3 from app.Boom is TRANSIENT by rule mine"),
        (raised(exit_code=-15), {"signals": ("SIGTERM",)}, "SIGTERM from app.Boom is TRANSIENT by rule mine"),
        (Failure(Kind.LOST), {"kinds": (Kind.LOST,)}, "worker lost is TRANSIENT by rule mine"),
        (raised(), {"exceptions": ("app.Boom",)}, "app.Boom is TRANSIENT by rule mine"),
        (raised(), {"exceptions": ("Exception",)}, "app.Boom (a Exception) is TRANSIENT by rule mine"),
        (raised(), {"exceptions": ("builtins.Exception",)}, "app.Boom (a Exception) is TRANSIENT by rule mine"),
        (raised("a.b.c.Deep"), {"exceptions": ("a.Deep",)}, "a.b.c.Deep is TRANSIENT by rule mine"),
        (
            raised("a.b.Deep"),
            {"exceptions": ("a.Deep",), "note": "so"},
            "a.b.Deep is TRANSIENT by rule mine (so)",
        ),
    ],
)
def test_a_rule_says_by_what_it_knew(failure: Failure, rule: dict[str, Any], why: str) -> None:
    assert judged(failure, **rule) == (TRANSIENT, "mine", why)


@pytest.mark.parametrize(
    ("failure", "rule"),
    [
        (raised(errno="EIO"), {"errnos": ("ENOSPC",)}),
        (raised(code="40002"), {"codes": ("40001",)}),
        (raised(code="41001"), {"codes": ("40???",)}),
        (raised(code="400"), {"codes": ("40???",)}),
        (Failure(Kind.EXIT, exit_code=4), {"exit_codes": (3,)}),
        (Failure(Kind.SIGNAL, signal=15), {"signals": ("SIGKILL",)}),
        (raised(exit_code=3), {"signals": ("SIGQUIT",)}),
        (raised("a.b.Deep"), {"exceptions": ("a.b.Other",)}),
        (raised("app.Boom"), {"exceptions": ("Boom",)}),
    ],
)
def test_a_rule_for_something_else_knows_nothing_of_it(failure: Failure, rule: dict[str, Any]) -> None:
    found = judged(failure, **rule)
    assert found[:2] == (UNKNOWN, "unknown")
    assert found[2] == f"no rule knows {failure.error_type}, so it is UNKNOWN"


def test_conditions_must_hold_as_well_and_what_lacks_is_told() -> None:
    rules = RuleSet(
        (
            Rule("text", TRANSIENT, exceptions=("app.Boom",), message="gone away"),
            Rule("asked", TRANSIENT, exceptions=("app.Boom",), needs_retry_after=True),
        )
    )
    found = classify(raised(), (), RuleSet(), rules)
    assert found.failure_class is UNKNOWN
    assert found.passed_over == (
        "rule text does not fit app.Boom: its message does not contain 'gone away'",
        "rule asked does not fit app.Boom: no Retry-After came with it",
        "no rule knows app.Boom",
    )
    waited = classify(raised(retry_after_s=4.0), (), RuleSet(), rules)
    assert (waited.rule, waited.retry_after_s) == ("asked", 4.0)


def test_the_task_s_own_rules_come_first_and_name_what_they_matched() -> None:
    rules = (("app.Boom", FailureClass.PERMANENT), ("exit:3", FailureClass.INFRASTRUCTURE))
    assert classify(raised(), rules, RuleSet(), RuleSet()).why == "app.Boom is PERMANENT by the task's classify"
    found = classify(Failure(Kind.EXIT, exit_code=3), rules, RuleSet(), RuleSet())
    assert (found.failure_class, found.rule) == (FailureClass.INFRASTRUCTURE, "task.classify:exit:3")
    assert found.why == "exit code 3 is INFRASTRUCTURE by the task's classify"
    first = classify(raised(), (("app.Boom", TRANSIENT), ("app.Boom", UNKNOWN)), RuleSet(), RuleSet())
    assert first.failure_class is TRANSIENT


def test_of_a_group_the_worst_member_decides_and_the_longest_wait_counts() -> None:
    slow = ErrorFacts(("mulligan.core.signals.RateLimited",), retry_after_s=5.0)
    slower = ErrorFacts(("mulligan.core.signals.RateLimited",), retry_after_s=9.0)
    bad = ErrorFacts(("mulligan.core.signals.PermanentError",))
    group = Failure(Kind.EXCEPTION, (ErrorFacts(("ExceptionGroup", "Exception"), members=((slow,), (slower,))),))
    found = classify(group, (), RuleSet(), RuleSet())
    assert (found.failure_class, found.rule, found.retry_after_s) == (FailureClass.RATE_LIMITED, "raised:RateLimited", 9.0)
    assert found.why.endswith("; the worst of 2 in ExceptionGroup")
    assert found.passed_over[0].startswith("another member of the group: ")
    group = Failure(Kind.EXCEPTION, (ErrorFacts(("ExceptionGroup", "Exception"), members=((slow,), (bad,), ())),))
    assert classify(group, (), RuleSet(), RuleSet()).failure_class is FailureClass.PERMANENT
    empty = Failure(Kind.EXCEPTION, (ErrorFacts(("ExceptionGroup",), members=((),)),))
    assert "no rule knows an exception without facts, so it is UNKNOWN" in classify(empty, (), RuleSet(), RuleSet()).why


def test_facts_come_back_from_json_as_they_were() -> None:
    inner = ErrorFacts(("a.Inner",), "in", http_status=503, retry_after_s=1.5, errno="EIO", code="X", exit_code=-9)
    outer = ErrorFacts(("a.Outer", "Exception"), "out", members=((inner,), (inner, inner)))
    failure = Failure(
        Kind.EXIT, (outer, inner), exit_code=3, signal=9, declared=TRANSIENT, message="m", traceback="t", crashed=True
    )
    assert failure_from_json(failure_to_json(failure)) == failure
    assert failure_to_json(Failure(Kind.LOST)) == '{"kind":"lost"}'
    assert failure_from_json('{"kind":"lost","from":"the future"}') == Failure(Kind.LOST)
    for wrong in ("[]", "{}", '{"kind":"nothing"}', '{"kind":"exit","chain":[{}]}', '{"kind":"exit","chain":3}', "1"):
        with pytest.raises(ValueError, match=r"facts of a failure|is not a valid"):
            failure_from_json(wrong)


@pytest.mark.parametrize(("asked", "waits_ms"), [(0.5, 500), (0, 0), (-3, 0), (1.0, 1_000), (2.0, 2_000)])
def test_what_is_asked_for_is_waited_for_unless_it_is_no_time(asked: float, waits_ms: int) -> None:
    item = an_item(JobStatus.STARTED)
    snoozed = decide(item, Snoozed(a_run(item), asked), Policy(), NOW, 0.5)
    assert snoozed is not None
    assert snoozed.after.due_ms == NOW + waits_ms
    policy = Policy({TRANSIENT: Retry(3, 0, jitter=None)})
    failed = decide(item, a_failure(item, retry_after_s=asked), policy, NOW, 0.5)
    assert failed is not None
    assert failed.attempt is not None
    assert (failed.attempt.delay_ms, failed.attempt.retry_after_ms) == (waits_ms, waits_ms)

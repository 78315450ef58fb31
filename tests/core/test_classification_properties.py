"""What holds of classification for any facts whatever."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mulligan.config.rules import default_rules
from mulligan.core.failure import ErrorFacts, Failure, Kind, Rule, RuleSet, classify, failure_from_json, failure_to_json
from mulligan.core.job import FailureClass

DEFAULTS = default_rules()
KNOWN = sorted(
    {name for rule in DEFAULTS.rules for name in rule.exceptions} | {"mulligan.core.signals.PermanentError", "Exception"}
)
CODES = sorted({code.replace("?", "0") for rule in DEFAULTS.rules for code in rule.codes})
ERRNOS = sorted({errno for rule in DEFAULTS.rules for errno in rule.errnos})
TEXT = st.text(st.characters(), max_size=40)


def maybe(strategy):
    return st.none() | strategy


def facts(members):
    return st.builds(
        ErrorFacts,
        types=st.lists(st.sampled_from(KNOWN) | TEXT, max_size=4).map(tuple),
        message=TEXT | st.sampled_from(["CERTIFICATE_VERIFY_FAILED", "message larger than"]),
        http_status=maybe(st.integers(-1, 1000)),
        retry_after_s=maybe(st.floats(allow_nan=False)),
        errno=maybe(st.sampled_from(ERRNOS) | TEXT),
        code=maybe(st.sampled_from(CODES) | TEXT),
        exit_code=maybe(st.integers()),
        members=members,
    )


CHAINS = st.recursive(
    st.lists(facts(st.just(())), max_size=3).map(tuple),
    lambda chains: st.lists(facts(st.lists(chains, max_size=3).map(tuple)), max_size=3).map(tuple),
    max_leaves=6,
)
FAILURES = st.builds(
    Failure,
    kind=st.sampled_from(Kind),
    chain=CHAINS,
    exit_code=maybe(st.integers()),
    signal=maybe(st.integers()),
    declared=maybe(st.sampled_from(FailureClass)),
    message=TEXT,
    traceback=TEXT,
    crashed=st.booleans(),
)
TASK_RULES = st.lists(st.tuples(st.sampled_from(KNOWN) | st.just("exit:3") | TEXT, st.sampled_from(FailureClass)), max_size=3)
RULES = st.builds(
    Rule,
    id=TEXT,
    failure_class=st.sampled_from(FailureClass),
    exceptions=st.lists(st.sampled_from(KNOWN), max_size=2).map(tuple),
    http=st.lists(st.tuples(st.integers(100, 500), st.integers(400, 600)), max_size=1).map(tuple),
    codes=st.lists(st.sampled_from(CODES), max_size=2).map(tuple),
    kinds=st.lists(st.sampled_from(Kind), max_size=2).map(tuple),
    message=maybe(TEXT),
    needs_retry_after=st.booleans(),
    unwrap=st.booleans(),
)
RULE_SETS = st.lists(RULES, max_size=3).map(lambda rules: RuleSet(tuple(rules)))


@settings(deadline=None)
@given(FAILURES, TASK_RULES, RULE_SETS)
def test_every_failure_has_a_class_a_rule_and_a_reason_and_always_the_same(failure, task_rules, project):
    found = classify(failure, tuple(task_rules), project, DEFAULTS)
    assert found.failure_class in FailureClass
    assert found.why
    assert isinstance(found.rule, str)
    assert found == classify(failure, tuple(task_rules), RuleSet(project.rules), DEFAULTS)


@settings(deadline=None)
@given(FAILURES)
def test_facts_come_back_from_json_as_they_went(failure):
    text = failure_to_json(failure)
    assert failure_from_json(text) == failure
    assert text.isascii()


@settings(deadline=None)
@given(FAILURES, TASK_RULES)
def test_the_class_does_not_change_on_the_way_through_json(failure, task_rules):
    there = failure_from_json(failure_to_json(failure))
    assert classify(there, tuple(task_rules), RuleSet(), DEFAULTS) == classify(failure, tuple(task_rules), RuleSet(), DEFAULTS)


@settings(deadline=None)
@given(FAILURES)
def test_every_failure_can_be_told_in_words(failure):
    assert failure.error_type or failure.chain[0].types[0] == ""
    assert isinstance(failure.text, str)


@settings(deadline=None)
@given(st.lists(CHAINS.filter(bool), min_size=1, max_size=4), st.randoms())
def test_the_order_of_a_group_does_not_matter_for_its_class(members, random):
    shuffled = list(members)
    random.shuffle(shuffled)

    def found(chains):
        group = ErrorFacts(("ExceptionGroup", "BaseExceptionGroup", "Exception"), members=tuple(chains))
        return classify(Failure(Kind.EXCEPTION, (group,)), (), RuleSet(), DEFAULTS).failure_class

    assert found(members) is found(shuffled)

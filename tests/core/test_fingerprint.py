"""Which failures have one cause: tables, and what must hold of all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mulligan.core.failure import ErrorFacts, Failure, Kind, failure_from_json, failure_to_json, what_happened
from mulligan.core.fingerprint import VERSION, Fingerprint, fingerprint, of_kind, of_reason, of_unrecordable
from mulligan.core.job import Reason


def raised(*chain: ErrorFacts) -> Failure:
    return Failure(Kind.EXCEPTION, chain)


def facts(name: str = "ValueError", message: str = "no rows", **more: object) -> ErrorFacts:
    return ErrorFacts((name, "Exception"), message, **more)  # type: ignore[arg-type]


def cause(*chain: ErrorFacts) -> str:
    return fingerprint(raised(*chain)).cause


CALLS = ("flow.features", "flow.load")


def test_a_cause_is_twelve_hex_digits_that_stay_the_same_from_version_to_version() -> None:
    assert VERSION == 1
    assert cause(facts(message="row 12 is bad")) == "67c482b94a4c"


def test_it_says_of_what_it_is_made() -> None:
    error = facts("botocore.exceptions.ClientError", code="SlowDown", http_status=503, frames=CALLS, step="flow.load")
    assert fingerprint(raised(error)).parts == (
        ("error type", "botocore.exceptions.ClientError"),
        ("code", "SlowDown"),
        ("HTTP status", "503"),
        ("step", "flow.load"),
        ("call", "flow.features"),
        ("call", "flow.load"),
    )
    assert fingerprint(raised(facts(message="row 12 is bad"))).parts == (
        ("error type", "ValueError"),
        ("message", "row <number> is bad"),
    )


def test_a_process_that_ended_is_told_apart_by_its_error_too() -> None:
    found = fingerprint(Failure(Kind.EXIT, (facts("KeyError", "x"),), exit_code=3, message="ended"))
    assert found.parts == (("process ended with", "exit code 3"), ("error type", "KeyError"), ("message", "x"))
    assert fingerprint(Failure(Kind.EXIT, (facts("KeyError", ""),), exit_code=3, message="ended")).message == ""


@pytest.mark.parametrize(
    ("more", "part"),
    [
        ({"exit_code": 0}, ("exit code", "0")),
        ({"exit_code": 3}, ("exit code", "3")),
        ({"exit_code": -9}, ("signal", "SIGKILL")),
        ({"errno": "EIO"}, ("errno", "EIO")),
    ],
)
def test_codes_are_parts_of_it(more: dict[str, object], part: tuple[str, str]) -> None:
    assert fingerprint(raised(facts(frames=CALLS, **more))).parts[1] == part


def test_what_has_no_type_or_no_letters_of_ascii_stays_the_same_too() -> None:
    assert fingerprint(raised(ErrorFacts((), "x"))).parts[0] == ("error type", "")
    assert cause(facts(message="größer als 漢")) == "8034cd241d89"
    assert len(cause(facts(message="half a letter \ud800"))) == 12


@pytest.mark.parametrize(
    "change",
    [
        {"types": ("KeyError", "Exception")},
        {"code": "40001"},
        {"http_status": 503},
        {"errno": "ENOSPC"},
        {"exit_code": 3},
        {"step": "flow.store"},
        {"frames": ("flow.features",)},
    ],
    ids=str,
)
def test_failures_that_differ_in_what_they_are_made_of_have_different_causes(change: dict[str, object]) -> None:
    error = facts(frames=CALLS)
    assert cause(replace(error, **change)) != cause(error)  # type: ignore[arg-type]


def test_messages_count_only_where_no_call_of_the_project_is_known() -> None:
    assert cause(facts(message="a", frames=CALLS)) == cause(facts(message="b", frames=CALLS))
    assert cause(facts(message="a")) != cause(facts(message="b"))


def test_the_five_innermost_calls_count() -> None:
    calls = tuple(f"flow.f{number}" for number in range(9))
    assert cause(facts(frames=calls)) == cause(facts(frames=calls[4:])) != cause(facts(frames=calls[5:]))


class TestChains:
    def test_the_innermost_error_counts_however_it_was_wrapped(self) -> None:
        inner = facts("ConnectionRefusedError", "refused", frames=CALLS)
        assert cause(facts("LoadFailed"), inner) == cause(facts("urllib3.MaxRetryError"), facts("Other"), inner) == cause(inner)

    def test_the_innermost_with_a_code_of_its_provider_counts_before_that(self) -> None:
        coded = facts("psycopg.OperationalError", code="08006", frames=CALLS)
        assert cause(facts("LoadFailed"), coded, facts("OSError")) == cause(coded)
        assert fingerprint(raised(facts("LoadFailed"), coded, facts("OSError"))).error_type == "psycopg.OperationalError"

    def test_calls_and_step_of_an_error_that_was_caught_in_a_library_are_told_by_those_around_it(self) -> None:
        inner = facts("ConnectionRefusedError", "refused")
        found = fingerprint(raised(facts("LoadFailed", frames=CALLS, step="flow.load"), inner)).parts
        assert found == (("error type", "ConnectionRefusedError"), ("step", "flow.load"), *(("call", each) for each in CALLS))

    def test_the_order_in_a_group_does_not_count(self) -> None:
        one, other = (facts("KeyError", frames=CALLS),), (facts("requests.HTTPError", http_status=503, frames=CALLS),)
        first = facts("ExceptionGroup", members=(one, other))
        second = facts("ExceptionGroup", members=(other, one))
        assert cause(first) == cause(second) == cause(*other), "what has a code comes first"

    def test_calls_and_step_around_a_group_are_those_of_its_members_which_do_not_tell_any(self) -> None:
        group = facts("ExceptionGroup", members=((facts("KeyError"),),), frames=CALLS, step="flow.load")
        found = fingerprint(raised(group)).parts
        assert found == (("error type", "KeyError"), ("step", "flow.load"), *(("call", each) for each in CALLS))

    def test_members_without_any_error_and_errors_without_a_type_have_a_cause_too(self) -> None:
        assert len(cause(facts("ExceptionGroup", members=((),)))) == 12
        assert len(cause(ErrorFacts(()))) == 12
        assert len(cause()) == 12


class TestWhatHappensToAnAttempt:
    @pytest.mark.parametrize("kind", [Kind.LOST, Kind.STOPPED, Kind.TIMEOUT, Kind.HEARTBEAT, Kind.CUTOFF, Kind.OUT_OF_MEMORY])
    def test_it_is_one_cause_for_each_kind_wherever_it_was_seen(self, kind: Kind) -> None:
        seen = fingerprint(Failure(kind, message="worker host-7:4711 of 2024"))
        assert seen.cause == of_kind(kind).cause
        assert seen.parts == (("what happened", Failure(kind).error_type),)
        assert "4711" not in seen.title
        assert seen.message == what_happened(kind) != ""

    def test_kinds_exit_codes_and_signals_are_all_different(self) -> None:
        failures = [Failure(kind) for kind in Kind]
        failures += [Failure(Kind.EXIT, exit_code=3), Failure(Kind.EXIT, exit_code=4), Failure(Kind.SIGNAL, signal=9)]
        made = [fingerprint(each) for each in failures]
        made += [of_reason(Reason.EXPIRED), of_reason(Reason.POISON), of_reason(Reason.SNOOZED_TOO_OFTEN)]
        made += [of_unrecordable("ValueError", "x"), of_unrecordable("TypeError", "x")]
        assert len({each.cause for each in made}) == len(made)
        assert all(each.title for each in made)

    @pytest.mark.parametrize(
        ("failure", "part"),
        [
            (Failure(Kind.EXIT, exit_code=3), ("process ended with", "exit code 3")),
            (Failure(Kind.SIGNAL, signal=9), ("process killed by", "SIGKILL")),
            (Failure(Kind.EXIT), ("what happened", Failure(Kind.EXIT).error_type)),
            (Failure(Kind.SIGNAL), ("what happened", Failure(Kind.SIGNAL).error_type)),
            (Failure(Kind.EXIT, signal=9), ("what happened", Failure(Kind.EXIT).error_type)),
            (Failure(Kind.SIGNAL, exit_code=3), ("what happened", Failure(Kind.SIGNAL).error_type)),
        ],
    )
    def test_a_process_says_how_it_ended(self, failure: Failure, part: tuple[str, str]) -> None:
        assert fingerprint(failure).parts == (part,)

    def test_of_other_failures_nothing_is_said_but_their_message(self) -> None:
        assert what_happened(Kind.EXCEPTION) == ""
        assert fingerprint(Failure(Kind.EXIT, exit_code=3, message="it said 7")).title == "it said <number>"

    def test_an_outcome_that_cannot_be_recorded_is_known_by_the_type_of_why(self) -> None:
        found = of_unrecordable("builtins.ValueError", "row 12")
        assert found.parts == (("what happened", "unrecordable outcome"), ("error type", "builtins.ValueError"))
        assert (found.error_type, found.title) == ("unrecordable outcome", "row <number>")
        assert found.cause == of_unrecordable("builtins.ValueError", "row 13").cause

    def test_an_item_whose_time_was_over_failed_of_the_same_whether_it_waited_or_ran(self) -> None:
        assert of_reason(Reason.CUTOFF) == of_kind(Kind.CUTOFF)


def test_a_rule_may_name_the_cause() -> None:
    found = fingerprint(raised(facts(message="row 12")), "s3-throttle")
    assert found == Fingerprint("s3-throttle", "ValueError", "row 12", (("rule", "s3-throttle"),))


def test_the_facts_as_they_are_stored_give_the_same_cause() -> None:
    failure = raised(facts(frames=CALLS, step="flow.load"), facts("OSError", errno="ENOSPC", members=((facts(frames=CALLS),),)))
    assert failure_from_json(failure_to_json(failure)) == failure
    assert fingerprint(failure_from_json(failure_to_json(failure))) == fingerprint(failure)


NAMES = st.text("abc", min_size=1, max_size=3).map(lambda name: f"acme.{name}")
ERRORS = st.builds(
    facts,
    NAMES,
    st.text(max_size=20),
    code=st.none() | st.text(max_size=5),
    http_status=st.none() | st.integers(100, 999),
    frames=st.lists(NAMES, max_size=6).map(tuple),
)


@given(st.lists(ERRORS, min_size=1, max_size=3), st.lists(ERRORS, min_size=1, max_size=3))
def test_errors_of_different_types_never_have_one_cause(one: list[ErrorFacts], other: list[ErrorFacts]) -> None:
    first, second = fingerprint(raised(*one)), fingerprint(raised(*other))
    assert first.error_type == second.error_type or first.cause != second.cause
    assert (first.cause == second.cause) == (first.parts == second.parts)


@given(ERRORS, st.integers(0, 10**9), st.integers(0, 10**9))
def test_numbers_in_messages_never_split_a_cause(error: ErrorFacts, one: int, other: int) -> None:
    first, second = (replace(error, message=f"row {number} of the file") for number in (one, other))
    assert cause(first) == cause(second)

"""Facts of failures and the classes they amount to."""

from __future__ import annotations

import json
import signal

import pytest

from mulligan.config.rules import default_rules
from mulligan.core.failure import (
    Classification,
    ErrorFacts,
    Failure,
    Kind,
    Rule,
    RuleSet,
    classify,
    failure_from_json,
    failure_to_json,
    qualified_name,
)
from mulligan.core.job import FailureClass
from mulligan.core.signals import InfrastructureError, PermanentError, RateLimited, TransientError

TRANSIENT, RATE_LIMITED, INFRASTRUCTURE, TIMEOUT, PERMANENT, UNKNOWN = FailureClass

NOTHING = RuleSet()


def raised(*chain: ErrorFacts, declared: FailureClass | None = None) -> Failure:
    return Failure(Kind.EXCEPTION, chain, declared=declared)


def an(error: type[BaseException] | str, **facts: object) -> ErrorFacts:
    if isinstance(error, str):
        return ErrorFacts((error, "Exception"), **facts)
    names = tuple(qualified_name(cls) for cls in error.__mro__ if cls not in {object, BaseException})
    return ErrorFacts(names, **facts)


def by_default(failure: Failure, task_rules: tuple[tuple[str, FailureClass], ...] = ()) -> Classification:
    return classify(failure, task_rules, NOTHING, default_rules())


@pytest.mark.parametrize(
    ("status", "failure_class", "rule"),
    [
        (400, PERMANENT, "http.4xx"),
        (401, PERMANENT, "http.4xx"),
        (403, PERMANENT, "http.4xx"),
        (404, PERMANENT, "http.4xx"),
        (408, TRANSIENT, "http.408"),
        (409, UNKNOWN, "http.409"),
        (412, PERMANENT, "http.4xx"),
        (413, PERMANENT, "http.4xx"),
        (423, TRANSIENT, "http.423"),
        (425, TRANSIENT, "http.425"),
        (429, RATE_LIMITED, "http.429"),
        (499, UNKNOWN, "http.499"),
        (500, TRANSIENT, "http.5xx"),
        (501, PERMANENT, "http.perm"),
        (502, TRANSIENT, "http.5xx"),
        (503, TRANSIENT, "http.503"),
        (504, TRANSIENT, "http.504"),
        (505, PERMANENT, "http.perm"),
        (509, RATE_LIMITED, "http.509"),
        (522, TRANSIENT, "http.5xx"),
        (529, RATE_LIMITED, "http.529"),
        (599, TRANSIENT, "http.5xx"),
    ],
)
def test_an_http_status_has_the_class_that_its_meaning_asks_for(status, failure_class, rule):
    found = by_default(raised(an("client.HTTPError", http_status=status)))
    assert (found.failure_class, found.rule) == (failure_class, rule)


@pytest.mark.parametrize(("status", "rule"), [(413, "http.413ra"), (429, "http.429"), (503, "http.503ra")])
def test_a_retry_after_makes_a_refusal_for_now_rate_limited_and_is_carried_along(status, rule):
    found = by_default(raised(an("client.HTTPError", http_status=status, retry_after_s=7.5)))
    assert (found.failure_class, found.rule, found.retry_after_s) == (RATE_LIMITED, rule, 7.5)


def test_the_reason_is_a_sentence_for_people():
    found = by_default(raised(an("requests.exceptions.HTTPError", http_status=503)))
    assert found.why == ("503 from requests.exceptions.HTTPError is TRANSIENT by rule http.503 (service unavailable)")
    assert found.passed_over == (
        "rule http.503ra does not fit 503 from requests.exceptions.HTTPError: no Retry-After came with it",
    )


@pytest.mark.parametrize(
    "error",
    [SyntaxError, IndentationError, ImportError, ModuleNotFoundError, NameError, UnboundLocalError, AttributeError, TypeError,
     NotImplementedError, FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError],
)  # fmt: skip
def test_what_can_only_be_a_mistake_in_the_code_is_permanent(error):
    assert by_default(raised(an(error))).failure_class is PERMANENT


@pytest.mark.parametrize(
    "error",
    [ValueError, KeyError, IndexError, RuntimeError, Exception, AssertionError, ZeroDivisionError, RecursionError, UnicodeError,
     EOFError, OSError, MemoryError, KeyboardInterrupt, StopIteration],
)  # fmt: skip
def test_what_may_be_bad_data_or_bad_luck_is_unknown(error):
    assert by_default(raised(an(error))).failure_class is UNKNOWN


@pytest.mark.parametrize("error", [ConnectionError, ConnectionResetError, ConnectionRefusedError, BrokenPipeError, TimeoutError])
def test_a_broken_connection_is_transient(error):
    assert by_default(raised(an(error))).failure_class is TRANSIENT


def test_running_out_of_memory_is_unknown_and_says_what_to_do():
    assert "more memory" in by_default(raised(an(MemoryError))).why
    found = by_default(Failure(Kind.OUT_OF_MEMORY, crashed=True))
    assert found.failure_class is UNKNOWN
    assert "more memory" in found.why


@pytest.mark.parametrize(
    ("errno", "failure_class"),
    [("ENOSPC", INFRASTRUCTURE), ("EIO", INFRASTRUCTURE), ("EMFILE", INFRASTRUCTURE), ("EDQUOT", PERMANENT),
     ("ETIMEDOUT", TRANSIENT), ("EAI_AGAIN", TRANSIENT), ("EAI_NONAME", UNKNOWN), ("E2BIG", UNKNOWN)],
)  # fmt: skip
def test_an_errno_tells_more_than_the_type(errno, failure_class):
    assert by_default(raised(an(OSError, errno=errno))).failure_class is failure_class


@pytest.mark.parametrize(
    ("code", "message", "failure_class", "rule"),
    [
        ("UNAVAILABLE", "", TRANSIENT, "grpc.transient"),
        ("RESOURCE_EXHAUSTED", "quota", RATE_LIMITED, "grpc.rate"),
        ("RESOURCE_EXHAUSTED", "Received message larger than max (5 vs 4)", PERMANENT, "grpc.size"),
        ("CANCELLED", "", UNKNOWN, "grpc.unknown"),
        ("NOT_FOUND", "", PERMANENT, "grpc.permanent"),
        ("08006", "", TRANSIENT, "sql.08"),
        ("08004", "", UNKNOWN, "sql.08004"),
        ("28P01", "", PERMANENT, "sql.login"),
        ("40001", "", TRANSIENT, "sql.again"),
        ("53300", "", RATE_LIMITED, "sql.53rate"),
        ("53100", "", INFRASTRUCTURE, "sql.53"),
        ("57014", "", UNKNOWN, "sql.57014"),
        ("42P01", "", PERMANENT, "sql.permanent"),
        ("23505", "", PERMANENT, "sql.permanent"),
        ("4031", "", UNKNOWN, "unknown"),
        ("HY000", "", UNKNOWN, "unknown"),
        ("SQLITE_BUSY", "", TRANSIENT, "sqlite.busy"),
    ],
)
def test_a_code_of_the_provider_has_its_class(code, message, failure_class, rule):
    found = by_default(raised(an("db.OperationalError", code=code, message=message)))
    assert (found.failure_class, found.rule) == (failure_class, rule)


def test_status_beats_code_beats_errno_beats_exit_code_beats_type():
    facts = {"errno": "ENOSPC", "code": "UNAVAILABLE", "http_status": 404, "exit_code": 2}
    order = []
    while facts:
        order.append(by_default(raised(an(ConnectionError, **facts))).rule)
        facts.pop(next(name for name in ("http_status", "code", "errno", "exit_code") if name in facts))
    order.append(by_default(raised(an(ConnectionError))).rule)
    assert order == ["http.4xx", "grpc.transient", "os.disk", "exit.permanent", "py.connection"]


def test_a_derived_type_beats_the_type_it_derives_from():
    mine = ErrorFacts(("job.Strange", "builtins.TypeError", "ConnectionError", "Exception"))
    rules = RuleSet(
        (Rule("base", TRANSIENT, exceptions=("ConnectionError",)), Rule("own", PERMANENT, exceptions=("job.Strange",)))
    )
    assert classify(raised(mine), (), NOTHING, rules).rule == "own"


@pytest.mark.parametrize(
    ("code", "failure_class"),
    [(0, UNKNOWN), (1, UNKNOWN), (2, PERMANENT), (3, UNKNOWN), (65, PERMANENT), (69, TRANSIENT), (71, INFRASTRUCTURE),
     (75, TRANSIENT), (127, PERMANENT), (130, UNKNOWN), (135, INFRASTRUCTURE), (137, INFRASTRUCTURE),
     (139, UNKNOWN), (143, INFRASTRUCTURE)],
)  # fmt: skip
def test_an_exit_code_has_the_class_that_custom_gives_it(code, failure_class):
    assert by_default(Failure(Kind.EXIT, exit_code=code, crashed=True)).failure_class is failure_class


@pytest.mark.parametrize(
    ("number", "failure_class"),
    [(signal.SIGKILL, INFRASTRUCTURE), (signal.SIGTERM, INFRASTRUCTURE), (signal.SIGBUS, INFRASTRUCTURE),
     (signal.SIGSEGV, UNKNOWN), (signal.SIGABRT, UNKNOWN), (signal.SIGINT, UNKNOWN), (signal.SIGUSR1, UNKNOWN), (99, UNKNOWN)],
)  # fmt: skip
def test_a_signal_that_ended_a_child_has_its_class(number, failure_class):
    assert by_default(Failure(Kind.SIGNAL, signal=int(number), crashed=True)).failure_class is failure_class
    called = an("subprocess.CalledProcessError", exit_code=-int(number))
    assert by_default(raised(called)).failure_class is failure_class


@pytest.mark.parametrize(
    ("kind", "failure_class"),
    [(Kind.TIMEOUT, TIMEOUT), (Kind.HEARTBEAT, TIMEOUT), (Kind.CUTOFF, TIMEOUT), (Kind.LOST, INFRASTRUCTURE),
     (Kind.STOPPED, INFRASTRUCTURE), (Kind.OUT_OF_MEMORY, UNKNOWN)],
)  # fmt: skip
def test_what_the_worker_saw_has_a_class_without_any_rule_or_code(kind, failure_class):
    found = classify(Failure(kind, (an(PermanentError),)), (), NOTHING, NOTHING)
    assert (found.failure_class, found.rule) == (failure_class, f"kind.{kind}")


def test_the_project_may_say_what_running_out_of_memory_is():
    mine = RuleSet((Rule("mine", INFRASTRUCTURE, kinds=(Kind.OUT_OF_MEMORY,)),))
    assert classify(Failure(Kind.OUT_OF_MEMORY), (), mine, default_rules()).rule == "mine"
    by_task = classify(Failure(Kind.OUT_OF_MEMORY), (("MemoryError", PERMANENT),), mine, default_rules())
    assert by_task.rule == "task.classify:MemoryError"


def test_what_a_task_says_of_memory_is_not_about_what_else_the_worker_saw():
    assert classify(Failure(Kind.TIMEOUT), (("MemoryError", PERMANENT),), NOTHING, NOTHING).failure_class is TIMEOUT


def test_a_rule_for_what_the_worker_saw_may_ask_for_a_message_as_well():
    spot = RuleSet((Rule("spot", TRANSIENT, kinds=(Kind.LOST,), message="reclaimed"),))
    assert classify(Failure(Kind.LOST, message="it was reclaimed"), (), spot, NOTHING).rule == "spot"
    assert classify(Failure(Kind.LOST, (an("job.Odd", message="reclaimed"),)), (), spot, NOTHING).rule == "spot"
    found = classify(Failure(Kind.LOST, message="gone"), (), spot, NOTHING)
    assert found.rule == "kind.lost"
    assert found.passed_over == ("rule spot does not fit worker lost: its message does not contain 'reclaimed'",)


@pytest.mark.parametrize(
    ("error", "failure_class"),
    [
        (TransientError, TRANSIENT),
        (RateLimited, RATE_LIMITED),
        (InfrastructureError, INFRASTRUCTURE),
        (PermanentError, PERMANENT),
    ],
)
def test_what_the_code_raised_comes_before_everything(error, failure_class):
    class Mine(error, ValueError): ...

    everything = raised(an(Mine, http_status=404), declared=UNKNOWN)
    found = classify(everything, (("ValueError", TIMEOUT),), NOTHING, default_rules())
    assert (found.failure_class, found.rule) == (failure_class, f"raised:{error.__name__}")


def test_callable_then_task_then_project_then_default_then_unknown():
    project = RuleSet((Rule("mine", INFRASTRUCTURE, exceptions=("ConnectionError",)),))
    task = (("builtins.ConnectionError", TIMEOUT),)
    link = an(ConnectionResetError)
    assert classify(raised(link, declared=PERMANENT), task, project, default_rules()).rule == "task.classify"
    assert classify(raised(link), task, project, default_rules()).rule == "task.classify:ConnectionError"
    assert classify(raised(link), (), project, default_rules()).rule == "mine"
    assert classify(raised(link), (), NOTHING, default_rules()).rule == "py.connection"
    assert classify(raised(link), (), NOTHING, NOTHING).rule == "unknown"


def test_a_rule_of_the_task_for_an_exit_code_holds_for_its_own_process_and_for_one_it_called():
    task = (("exit:3", TRANSIENT),)
    assert by_default(Failure(Kind.EXIT, exit_code=3), task).rule == "task.classify:exit:3"
    assert by_default(raised(an("subprocess.CalledProcessError", exit_code=3)), task).failure_class is TRANSIENT
    assert by_default(Failure(Kind.EXIT, exit_code=4), task).failure_class is UNKNOWN


def test_a_name_may_leave_out_the_inner_module_of_a_package():
    task = (("requests.ConnectionError", PERMANENT),)
    assert by_default(raised(an("requests.exceptions.ConnectionError")), task).failure_class is PERMANENT
    assert by_default(raised(an("other.exceptions.ConnectionError")), task).failure_class is UNKNOWN


def test_a_cause_is_looked_at_where_its_exception_has_no_class():
    found = by_default(raised(an("job.Failed"), an(ValueError), an("client.HTTPError", http_status=503), an(TypeError)))
    assert (found.failure_class, found.rule) == (TRANSIENT, "http.503")
    assert found.why.endswith("found behind job.Failed")
    assert found.passed_over[0] == "no rule knows job.Failed"
    assert "py.data" in found.passed_over[1]


def test_a_cause_is_not_looked_at_where_its_exception_has_a_class():
    assert by_default(raised(an(ConnectionError), an(TypeError))).failure_class is TRANSIENT


def test_a_wrapper_takes_the_class_of_its_cause_and_has_its_own_without_one():
    wrapper = an("urllib3.exceptions.MaxRetryError")
    assert by_default(raised(wrapper, an("ssl.SSLCertVerificationError"))).failure_class is PERMANENT
    assert by_default(raised(wrapper, an("socket.gaierror", errno="EAI_NONAME"))).failure_class is UNKNOWN
    assert by_default(raised(wrapper, an("job.Odd"))).rule == "u3.wrapper"
    assert by_default(raised(an(ValueError), wrapper)).failure_class is TRANSIENT
    assert by_default(raised(wrapper)).failure_class is TRANSIENT


def test_the_first_unknown_is_kept_where_nothing_behind_it_says_more():
    found = by_default(raised(an("client.HTTPError", http_status=409), an(KeyError), an("job.Odd")))
    assert (found.failure_class, found.rule) == (UNKNOWN, "http.409")
    assert found.why not in found.passed_over
    assert len(found.passed_over) == 2


@pytest.mark.parametrize(
    ("members", "worst"),
    [
        ((TransientError, PermanentError, ValueError), PERMANENT),
        ((TransientError, ValueError, RateLimited), UNKNOWN),
        ((TransientError, RateLimited, InfrastructureError), RATE_LIMITED),
        ((InfrastructureError, TransientError), TRANSIENT),
        ((InfrastructureError, InfrastructureError), INFRASTRUCTURE),
    ],
)
def test_a_group_has_the_class_of_its_worst_member_and_tells_of_the_others(members, worst):
    group = an(ExceptionGroup, members=tuple((an(member),) for member in members))
    found = by_default(raised(group))
    assert found.failure_class is worst
    assert len([line for line in found.passed_over if line.startswith("another member")]) == len(members) - 1


def test_a_timeout_in_a_group_is_worse_than_a_rate_limit():
    group = an(ExceptionGroup, members=((an("job.Slow"),), (an(RateLimited),)))
    assert by_default(raised(group), (("job.Slow", TIMEOUT),)).failure_class is TIMEOUT


def test_a_group_waits_for_the_member_that_asks_for_most_and_a_rule_for_any_exception_does_not_hide_members():
    members = tuple((an("client.HTTPError", http_status=429, retry_after_s=wait),) for wait in (3.0, 9.0, 4.0))
    group = an(ExceptionGroup, members=members)
    assert by_default(raised(group)).retry_after_s == 9.0
    widest = RuleSet((Rule("all", TRANSIENT, exceptions=("Exception",)),))
    blocked = an(ExceptionGroup, members=((an(PermanentError),),))
    assert classify(raised(blocked), (), widest, default_rules()).failure_class is PERMANENT


def test_members_of_a_group_have_causes_of_their_own():
    group = an(ExceptionGroup, members=((an(ValueError), an(FileNotFoundError)), (an(ConnectionError),)))
    assert by_default(raised(an("job.Failed"), group)).failure_class is PERMANENT


def test_the_error_type_says_what_happened_where_there_was_no_exception():
    assert raised(an("job.Odd")).error_type == "job.Odd"
    assert Failure(Kind.EXIT, exit_code=3).error_type == "exit 3"
    assert Failure(Kind.SIGNAL, signal=9).error_type == "signal SIGKILL"
    assert Failure(Kind.TIMEOUT).error_type == "timeout"
    assert Failure(Kind.EXCEPTION).error_type == "exception"


def test_the_text_is_the_message_or_what_happened():
    assert raised(an("job.Odd", message="bad"), an(ValueError, message="worse")).text == "bad"
    assert Failure(Kind.SIGNAL, signal=9, message="child process 7 ended with SIGKILL").text.startswith("child")
    assert Failure(Kind.TIMEOUT).text == "timeout"


def test_facts_leave_out_what_is_not_known_and_ignore_what_is_new():
    bare = failure_to_json(raised(an("job.Odd")))
    assert bare == '{"kind":"exception","chain":[{"types":["job.Odd","Exception"]}]}'
    assert failure_from_json('{"kind":"exit","exit_code":0,"novel":1}') == Failure(Kind.EXIT, exit_code=0)


def test_what_ctx_run_was_told_of_an_exit_code_holds():
    found = classify(raised(an("job.Called", exit_code=4, exit_class=TRANSIENT)), (), NOTHING, NOTHING)
    assert (found.failure_class, found.rule) == (TRANSIENT, "ctx.run:4")
    assert found.why == "exit code 4 is TRANSIENT, as the call of ctx.run says"


def test_what_says_itself_what_it_is_is_named_with_what_it_is_derived_from():
    mine = ErrorFacts(("job.Mine", "mulligan.core.signals.TransientError", "Exception"))
    why = "job.Mine (a mulligan.core.signals.TransientError) says itself that it is TRANSIENT"
    assert classify(raised(mine), (), NOTHING, NOTHING).why == why


def test_a_wait_is_that_of_what_decided_else_the_first_that_anything_asks_for():
    asks = an("client.HTTPError", http_status=503, retry_after_s=4.0)
    assert by_default(raised(an("job.Odd", retry_after_s=9.0), asks)).retry_after_s == 4.0
    assert by_default(raised(an(ConnectionError), an("job.Odd"), asks)).retry_after_s == 4.0


def test_an_exit_code_counts_where_the_process_ended_and_what_was_raised_before_is_looked_at_too():
    assert by_default(Failure(Kind.EXCEPTION, (an("job.Odd"),), exit_code=2)).rule == "unknown"
    found = by_default(Failure(Kind.EXIT, (an("job.Odd"), an("client.HTTPError", http_status=503)), exit_code=3))
    assert (found.rule, found.why.partition("; ")[2]) == ("http.503", "found behind job.Odd")
    zero = RuleSet((Rule("zero", TRANSIENT, exit_codes=(0,)),))
    assert classify(Failure(Kind.EXIT, exit_code=0), (), zero, NOTHING).why == "exit code 0 is TRANSIENT by rule zero"


def test_a_rule_for_any_exception_is_asked_last_and_says_what_it_lacks():
    rules = RuleSet((Rule("any", TRANSIENT, kinds=(Kind.EXCEPTION,), message="again"),))
    found = classify(raised(an("job.Odd", message="no")), (), rules, NOTHING)
    assert (found.rule, found.passed_over[-1]) == (
        "unknown",
        "rule any does not fit job.Odd: its message does not contain 'again'",
    )


def test_what_is_said_of_a_group_itself_comes_before_its_members():
    members = ((an(TransientError),),)
    signals = ErrorFacts(("job.G", "mulligan.core.signals.PermanentError", "Exception"), members=members)
    plain = an("job.G", members=members)
    rules = RuleSet((Rule("lacks", PERMANENT, exceptions=("job.G",), message="x"), Rule("g", PERMANENT, exceptions=("job.G",))))
    assert classify(raised(signals), (), NOTHING, NOTHING).rule == "raised:PermanentError"
    assert classify(raised(plain), (("job.G", PERMANENT),), NOTHING, NOTHING).rule == "task.classify:job.G"
    found = classify(raised(plain), (), rules, NOTHING)
    assert (found.rule, found.passed_over) == ("g", ("rule lacks does not fit job.G: its message does not contain 'x'",))
    nameless = classify(raised(an("job.G", members=((ErrorFacts(()),),))), (), NOTHING, NOTHING)
    assert nameless.why == "no rule knows an exception without a type, so it is UNKNOWN; the worst of 1 in job.G"


def test_facts_are_stored_in_full_and_read_as_they_were():
    inner = an(
        "job.Odd", message="7", errno="EIO", code="40001", retry_after_s=2.5, http_status=503, frames=("a.b", "c.d"), step="s"
    )
    called = an("job.Called", exit_code=-9, exit_class=TRANSIENT)
    group = an("job.Group", members=((inner, called), (), (an("job.Other"),)))
    failure = Failure(Kind.EXCEPTION, (group, inner), 3, 9, PERMANENT, "said", "trace", True)
    stored = json.loads(failure_to_json(failure))
    assert stored["chain"][1] == {
        "types": ["job.Odd", "Exception"], "message": "7", "http_status": 503, "retry_after_s": 2.5, "errno": "EIO",
        "code": "40001", "frames": ["a.b", "c.d"], "step": "s",
    }  # fmt: skip
    assert stored["chain"][0]["members"][0][1] == {
        "types": ["job.Called", "Exception"],
        "exit_code": -9,
        "exit_class": "TRANSIENT",
    }
    assert (stored["exit_code"], stored["signal"], stored["declared"], stored["crashed"]) == (3, 9, "PERMANENT", True)
    found = failure_from_json(failure_to_json(failure))
    assert found == failure
    assert found.declared is PERMANENT
    assert found.chain[0].members[0][1].exit_class is TRANSIENT
    assert isinstance(found.chain[1].frames, tuple)


def test_of_a_member_of_a_group_that_no_rule_knows_it_is_said_which_it_is():
    found = classify(raised(an("job.Group", members=((an("job.Odd"),), ()))), (), NOTHING, NOTHING)
    assert (found.failure_class, found.rule) == (UNKNOWN, "unknown")
    assert found.why == "no rule knows job.Odd, so it is UNKNOWN; the worst of 2 in job.Group"
    assert "another member of the group: no rule knows an exception without facts, so it is UNKNOWN" in found.passed_over


def test_of_two_that_take_the_class_of_what_is_behind_them_the_one_that_says_more_is_kept():
    rules = RuleSet(
        (
            Rule("odd", UNKNOWN, exceptions=("job.Odd",), unwrap=True),
            Rule("busy", TRANSIENT, exceptions=("job.Busy",), unwrap=True),
            Rule("late", RATE_LIMITED, exceptions=("job.Late",), unwrap=True),
        )
    )
    for chain, rule in (
        (("Odd", "Busy"), "busy"),
        (("Busy", "Late"), "busy"),
        (("Busy", "Odd"), "busy"),
        (("Odd", "Odd"), "odd"),
    ):
        assert classify(raised(*(an(f"job.{name}") for name in chain)), (), NOTHING, rules).rule == rule, chain


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind":"odd"}', '{"kind":"exit","chain":[{}]}', '{"kind":"exit","chain":7}'])
def test_what_is_no_failure_is_refused(text):
    with pytest.raises(ValueError):
        failure_from_json(text)


def test_the_rule_that_decides_names_the_cause_and_no_other() -> None:
    named = Rule("busy", FailureClass.RATE_LIMITED, exceptions=("acme.Busy",), cause="acme-busy")
    rules = RuleSet((named, Rule("wide", FailureClass.UNKNOWN, exceptions=("Exception",), cause="wide")))
    busy = ErrorFacts(("acme.Busy", "Exception"))
    group = ErrorFacts(("ExceptionGroup", "Exception"), members=((busy,),))
    for failure in (Failure(Kind.EXCEPTION, (busy,)), Failure(Kind.EXCEPTION, (group,))):
        assert classify(failure, (), rules, RuleSet()).cause == "acme-busy"
    assert classify(Failure(Kind.EXCEPTION, (busy,)), (("acme.Busy", FailureClass.PERMANENT),), rules, RuleSet()).cause is None
    assert classify(Failure(Kind.LOST), (), rules, RuleSet()).cause is None

"""Who may do what: roles, and what a key that is limited to pipelines sees."""

from __future__ import annotations

import pytest

from mulligan.core.access import Principal, Role


def key(role: Role = Role.VIEWER, *pipelines: str) -> Principal:
    return Principal("k", "ann", role, pipelines or None)


@pytest.mark.parametrize(
    ("has", "may"),
    [
        (Role.VIEWER, [Role.VIEWER]),
        (Role.OPERATOR, [Role.VIEWER, Role.OPERATOR]),
        (Role.ADMIN, [Role.VIEWER, Role.OPERATOR, Role.ADMIN]),
    ],
)
def test_each_role_may_do_what_those_before_it_may_and_no_more(has: Role, may: list[Role]) -> None:
    assert [role for role in Role if key(has).may(role)] == may


def test_a_key_without_limits_sees_everything() -> None:
    assert key().sees("load")
    assert key().sees()
    assert key().among(["load", "train"]) == ["load", "train"]
    assert key().sees_operation(None)
    assert key().sees_operation(["load"])


def test_a_key_for_some_pipelines_sees_these_by_their_whole_names() -> None:
    limited = key(Role.OPERATOR, "load", "train")
    assert limited.sees("load")
    assert limited.sees("other", "train"), "one of them is enough"
    assert not any(limited.sees(name) for name in ("loads", "loa", "other", ""))
    assert not limited.sees()
    assert limited.among(["load", "other", "train", "loads"]) == ["load", "train"]


def test_it_sees_operations_that_were_limited_to_its_own_pipelines() -> None:
    limited = key(Role.OPERATOR, "load", "train")
    assert limited.sees_operation(["load"])
    assert limited.sees_operation(["train", "load"])
    assert not limited.sees_operation(["load", "other"])
    assert not limited.sees_operation(None), "it may be about all of them"

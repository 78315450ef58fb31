"""Keys of the API at the command line: made and shown once, listed, revoked."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_harness import Run, serving


def test_a_key_is_shown_once_listed_without_itself_and_revoked(bare: Run, outside: Path) -> None:
    on = ("--database", f"sqlite:///{outside / 'new.db'}")
    made = bare("keys", "create", "--name", "ann", "--role", "operator", *on)
    assert made.code == 0
    assert made.out.startswith("mlg_")
    assert "not shown again" in made.err
    limited = bare("keys", "create", "--name", "bob", "--role", "viewer", "--pipeline", "add", "--json", *on).data
    assert (limited["role"], limited["pipelines"]) == ("viewer", ["add"])
    listed = bare("keys", "list", *on).out
    assert "ann" in listed
    assert "operator" in listed
    assert made.out.strip() not in listed
    assert "The key of ann is revoked" in bare("keys", "revoke", "ann", "--reason", "she left", *on).out
    left = bare("keys", "list", "--json", *on).data
    assert [(each["name"], each["revoked_at"]) for each in left] == [("bob", None)]
    assert [each["name"] for each in bare("keys", "list", "--all", "--json", *on).data] == ["ann", "bob"]
    lines = bare("audit", "--json", *on).data
    assert [lines[0][name] for name in ("action", "target", "reason")] == ["revoke key", "key ann", "she left"]
    assert made.out.strip() not in str(lines)


def test_a_key_may_be_made_for_a_while(bare: Run, outside: Path) -> None:
    on = ("--database", f"sqlite:///{outside / 'new.db'}")
    assert bare("keys", "create", "--name", "ann", "--role", "viewer", "--expires", "90d", *on).code == 0
    assert ", until 20" in bare("keys", "list", *on).out.replace("\n", " ")
    (row,) = bare("keys", "list", "--json", *on).data
    assert row["expires_at"] > row["created_at"]
    wrong = bare("keys", "create", "--name", "bob", "--role", "viewer", "--expires", "soon", *on)
    assert (wrong.code, "--expires" in wrong.err) == (2, True)


def test_what_cannot_be_done_about_keys_is_said(bare: Run, outside: Path) -> None:
    on = ("--database", f"sqlite:///{outside / 'new.db'}")
    assert bare("keys", "list", *on).code == 1, "looking makes no store"
    bare("keys", "create", "--name", "ann", "--role", "admin", *on)
    twice = bare("keys", "create", "--name", "ann", "--role", "viewer", *on)
    assert (twice.code, "(refused)" in twice.err) == (1, True)
    gone = bare("keys", "revoke", "bob", *on)
    assert (gone.code, "(not_found)" in gone.err) == (1, True)
    assert bare("keys", "create", "--name", "x", "--role", "king", *on).code == 2


def test_an_admin_makes_lists_and_revokes_keys_of_a_server(bare: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(store, "admin") as (url, key):
        monkeypatch.setenv("MULLIGAN_SERVER", url)
        monkeypatch.setenv("MULLIGAN_API_KEY", key)
        given = ["--name", "eve of ads", "--role", "viewer", "--pipeline", "add", "--expires", "90d", "--reason", "she asked"]
        made = bare("keys", "create", *given, "--json").data
        assert (made["name"], made["role"], made["pipelines"]) == ("eve of ads", "viewer", ["add"])
        twice = bare("keys", "create", "--name", "eve of ads", "--role", "admin")
        assert (twice.code, "revoke it first" in twice.err) == (1, True)
        (row,) = bare("keys", "list", "--json").data
        assert (row["id"], row["role"], row["pipelines"], row["revoked_at"]) == (made["id"], "viewer", ["add"], None)
        assert row["expires_at"] > row["created_at"]
        assert "eve of ads" in bare("keys", "list").out
        last = bare("keys", "create", "--name", "root", "--role", "admin")
        assert (last.code, last.out.startswith("mlg_")) == (0, True)
        assert "last key of an admin" in bare("keys", "revoke", "root").err
        assert bare("keys", "revoke", "root", "--last").code == 0
        assert "The key of eve of ads is revoked" in bare("keys", "revoke", "eve of ads", "--reason", "she left").out
        assert bare("keys", "list", "--json").data == []
        assert [each["name"] for each in bare("keys", "list", "--all", "--json").data] == ["eve of ads", "root"]
        told = bare("audit", "--limit", "1", "--json").data[0]
        assert [told[name] for name in ("actor", "source", "action", "reason")] == ["tester", "rest", "revoke key", "she left"]
        gone = bare("keys", "revoke", "nobody")
        assert (gone.code, "(not_found)" in gone.err) == (1, True)


def test_who_is_no_admin_of_a_server_is_told_that_keys_take_one(bare: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(store) as (url, key):
        monkeypatch.setenv("MULLIGAN_SERVER", url)
        monkeypatch.setenv("MULLIGAN_API_KEY", key)
        for command in (["list"], ["create", "--name", "me", "--role", "admin"], ["revoke", "ann"]):
            refused = bare("keys", *command)
            assert (refused.code, "this takes the role admin" in refused.err) == (1, True), refused.err

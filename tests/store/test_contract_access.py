"""The contract of keys and of kept replies, on every kind of store."""

from __future__ import annotations

from mulligan.store.rows import AuditRow
from mulligan.store.store import Store
from mulligan.store.verbs.access import KeyRow, ReplyRow

NOW = 1_700_000_000_000


def a_key(id: str, name: str, pipelines: tuple[str, ...] | None = None) -> KeyRow:
    return KeyRow(id, name, "operator", f"digest of {id}", pipelines, NOW, None)


class TestKeys:
    def test_a_key_is_found_by_its_id_and_says_what_it_is_limited_to(self, store: Store) -> None:
        with store.write() as session:
            assert session.access.add_key(a_key("1", "ann", ("features", "add")))
            assert session.access.add_key(a_key("2", "bob"))
        with store.read() as session:
            assert session.access.key("1") == a_key("1", "ann", ("features", "add"))
            assert session.access.key("3") is None
            assert [each.name for each in session.access.every()] == ["ann", "bob"]

    def test_of_two_keys_of_one_name_only_one_is_not_revoked(self, store: Store) -> None:
        with store.write() as session:
            assert not session.access.any_key(NOW)
            assert session.access.add_key(a_key("1", "ann"))
            assert not session.access.add_key(a_key("2", "ann"))
            assert session.access.any_key(NOW)
            assert session.access.revoke("ann", NOW) == ("1", "ann")
            assert session.access.revoke("1", NOW) is None, "it is revoked already"
            assert not session.access.any_key(NOW)
            assert session.access.add_key(a_key("2", "ann"))
            assert session.access.revoke("2", NOW) == ("2", "ann")
        with store.read() as session:
            assert [each.revoked_ms for each in session.access.every()] == [NOW, NOW]

    def test_a_key_may_have_an_end(self, store: Store) -> None:
        with store.write() as session:
            assert session.access.add_key(a_key("1", "ann")._replace(expires_ms=NOW + 1))
        with store.read() as session:
            found = session.access.key("1")
            assert found is not None
            assert (found.expires_ms, found.works(NOW), found.works(NOW + 1)) == (NOW + 1, True, False)
            assert session.access.any_key(NOW)
            assert not session.access.any_key(NOW + 1)


class TestReplies:
    def test_a_request_is_begun_once_and_its_answer_is_kept(self, store: Store) -> None:
        with store.write() as session:
            assert session.access.begin_reply("ann", "k", "d", NOW)
            assert not session.access.begin_reply("ann", "k", "d", NOW + 1)
            assert session.access.begin_reply("bob", "k", "d", NOW), "of another it is another request"
            assert session.access.reply("ann", "k") == ReplyRow("d", NOW, None, None)
            session.access.end_reply("ann", "k", 200, "{}")
        with store.read() as session:
            assert session.access.reply("ann", "k") == ReplyRow("d", NOW, 200, "{}")
            assert session.access.reply("ann", "other") is None

    def test_one_only_takes_over_what_was_not_answered(self, store: Store) -> None:
        with store.write() as session:
            session.access.begin_reply("ann", "k", "d", NOW)
            assert session.access.take_over("ann", "k", NOW, NOW + 5)
            assert not session.access.take_over("ann", "k", NOW, NOW + 6), "it is not as it was seen"
            session.access.end_reply("ann", "k", 200, "{}")
            assert not session.access.take_over("ann", "k", NOW + 5, NOW + 7)

    def test_what_could_not_be_answered_is_forgotten_and_what_was_answered_is_not(self, store: Store) -> None:
        with store.write() as session:
            session.access.begin_reply("ann", "k", "d", NOW)
            session.access.drop_reply("ann", "k")
            assert session.access.reply("ann", "k") is None
            session.access.begin_reply("ann", "k", "d", NOW)
            session.access.end_reply("ann", "k", 200, "{}")
            session.access.drop_reply("ann", "k")
            assert session.access.reply("ann", "k") is not None

    def test_old_answers_are_removed_a_few_at_a_time(self, store: Store) -> None:
        with store.write() as session:
            for number in range(5):
                session.access.begin_reply("ann", str(number), "d", NOW + number)
            assert session.access.prune_replies(NOW + 4, 3) == 3
            assert session.access.prune_replies(NOW + 4, 3) == 1
            assert session.access.prune_replies(NOW + 4, 3) == 0
            assert session.access.reply("ann", "4") is not None

    def test_the_audit_tells_how_much_a_request_has_changed(self, store: Store) -> None:
        with store.write() as session:
            for changed, operation in ((3, "ann:k"), (4, "ann:k"), (5, "bob:k"), (6, None)):
                row = AuditRow(0, NOW, "a", "rest", "cancel", "job 1", "", "", "", changed, "127.0.0.1", operation)
                session.records.add_audit(row)
        with store.read() as session:
            assert session.access.changed_by("ann:k") == 7
            assert session.access.changed_by("ann:other") is None
            lines = session.records.audit(limit=2, before=4)
            assert [(each.id, each.address, each.operation) for each in lines] == [
                (3, "127.0.0.1", "bob:k"),
                (2, "127.0.0.1", "ann:k"),
            ]

"""What errors and values of users show in logs: one line, cut, and no secrets."""

from __future__ import annotations

import pytest

from mulligan.core.concealed import concealed, shown_value


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:hunter2@db.example/x",
        "https://user:hunter2@host/path?x=1",
        "password=hunter2",
        "PASSWORD: hunter2, next",
        "db_password = 'hunter2 with spaces' and more",
        '{"api_key": "hunter2", "x": 1}',
        "{'aws_secret_access_key': 'hunter2'}",
        "Authorization: Bearer hunter2hunter2",
        "got Bearer hunter2.hunter2",
        "?sig=1&access_token=hunter2&x=2",
        "x-api-key=hunter2",
    ],
)
def test_what_looks_like_a_secret_is_not_shown(text: str) -> None:
    assert "hunter2" not in concealed(text)
    assert "***" in concealed(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("to postgresql://me:hunter2@db.example/x now", "to postgresql://me:***@db.example/x now"),
        ("got Bearer hunter2.hunter2 twice", "got Bearer *** twice"),
        ("password=hunter2, next", "password=***, next"),
        ("{'token': 'hunter2', 'x': 1}", "{'token': ***, 'x': 1}"),
    ],
)
def test_nothing_else_is_changed(text: str, shown: str) -> None:
    assert concealed(text) == shown


@pytest.mark.parametrize("text", ["503 Service Unavailable", "max_tokens=500 reached", "no such file: 'a/b'", "http://host/path"])
def test_what_is_none_is_shown(text: str) -> None:
    assert concealed(text) == text


def test_it_is_one_line_and_cut() -> None:
    assert concealed("a\nb\t c") == "a b c"
    assert len(concealed("x" * 100_000)) == 200
    assert concealed("x" * 100_000).endswith("…")
    assert concealed("x" * 200) == "x" * 200
    assert concealed("x" * 201) == "x" * 199 + "…"
    assert concealed("12345", 4) == "123…"


def test_a_value_is_shown_shortly_whatever_it_is() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ValueError

    assert shown_value({"password": "hunter2"}) == "{'password': ***}"
    assert shown_value(Broken()).startswith("<Broken")
    assert len(shown_value(list(range(10**6)))) < 100

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mulligan.core.errors import ConfigError
from mulligan.core.masking import Known, Mask, check_reference, open_end

VALUE = 'hunter2/+ü"can\\ary'
MASK = Mask().adding(Known("env:PASSWORD", VALUE))
PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\n9w0BAQEFAASCBKcwggSj\nab==\n-----END KEY-----"


@pytest.mark.parametrize(
    "text",
    [
        VALUE,
        quote(VALUE, safe=""),
        quote(VALUE),
        quote_plus(VALUE),
        quote(VALUE, safe="").lower(),
        json.dumps(VALUE),
        json.dumps(VALUE, ensure_ascii=False),
        repr(VALUE),
        VALUE.encode().hex(),
        VALUE.replace('"', "&quot;"),
    ],
)
def test_a_value_is_hidden_however_it_is_written(text: str) -> None:
    said = MASK.text(f"at https://ann:{text}@host")
    assert "***" in said
    assert "hunter2" not in said.lower()
    assert "ary" not in said


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:"])
@pytest.mark.parametrize("after", ["", "x", "xy"])
@pytest.mark.parametrize("coded", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_value_is_hidden_in_base64_whatever_stands_beside_it(before: str, after: str, coded: object) -> None:
    text = coded(f"{before}{VALUE}{after}".encode()).decode()  # type: ignore[operator]
    said = MASK.text(f"Basic {text}")
    assert "***" in said
    assert len(said) < 22, "only what stands beside it is left"


def test_values_that_overlap_are_hidden_whole() -> None:
    mask = Mask().adding(Known("env:A", "abcdXY"), Known("env:B", "XYefgh"))
    assert mask.text("1 abcdXYefgh 2") == "1 *** 2"


def test_json_stays_json_where_a_value_begins_inside_an_escape() -> None:
    mask = Mask().adding(Known("env:A", "nabcdef"))
    text = json.dumps({"message": "\nabcdef and nabcdef", "nabcdef": [1, None, "nabcdef"]})
    assert json.loads(mask.json(text)) == {"message": "\nabcdef and ***", "***": [1, None, "***"]}


def test_lines_of_a_key_are_hidden_one_by_one() -> None:
    mask = Mask().adding(Known("file:/key", PEM))
    assert mask.text("line: MIIEvQIBADANBgkqhkiG") == "line: ***"
    assert mask.text("-----BEGIN KEY-----") == "-----BEGIN KEY-----"
    assert mask.found(json.dumps("MIIEvQIBADANBgkqhkiG of another key")) is None, "only a whole value is refused"
    assert mask.found(json.dumps(f"key: {PEM}")) == "file:/key"


def test_a_value_in_json_is_found_and_named_by_its_reference() -> None:
    for form in (VALUE, f"postgres://ann:{quote(VALUE, safe='')}@host", base64.b64encode(f"ann:{VALUE}".encode()).decode()):
        assert MASK.found(json.dumps({"args": [form]})) == "env:PASSWORD"
        assert MASK.found(json.dumps({"args": [form]}, ensure_ascii=False)) == "env:PASSWORD"
    assert MASK.found(json.dumps({"secret": "env:PASSWORD"})) is None


def test_a_short_value_is_refused_only_where_it_is_the_whole_text() -> None:
    mask = Mask().adding(Known("env:PIN", "1234"))
    assert mask.found('{"pin":"1234"}') == "env:PIN"
    assert mask.found('{"amount":412345,"phone":"0712345"}') is None
    assert mask.text("the pin 1234") == "the pin ***"


def test_nothing_is_changed_where_nothing_is_known() -> None:
    assert not Mask()
    assert Mask().text("hunter2") == "hunter2"
    assert Mask().data(b"hunter2") == b"hunter2"
    assert Mask().json('{"a": 1}') == '{"a": 1}'
    assert Mask().found('"hunter2"') is None


def test_output_hides_each_value_that_is_known_and_nothing_else() -> None:
    mask = MASK.adding(Known("env:PIN", "1234"))
    assert mask.data(f"at {VALUE} with 1234 and 123".encode()) == b"at *** with *** and 123"
    assert mask.data(b"nothing of it") == b"nothing of it"


def test_json_in_which_no_value_stands_is_left_as_it_was_written() -> None:
    assert MASK.json('{"a": 1,  "b": [true]}') == '{"a": 1,  "b": [true]}'
    assert MASK.json(json.dumps({"a": VALUE, "b": [True]})) == '{"a":"***","b":[true]}'


def test_a_mask_says_which_values_it_knows_and_the_first_name_of_a_value_stays() -> None:
    mask = MASK.adding(Known("env:OTHER", VALUE), Known("env:PIN", "1234"))
    assert VALUE in mask
    assert "hunter2" not in mask
    assert MASK
    assert dict(mask) == {"env:PASSWORD": VALUE, "env:PIN": "1234"}
    assert all(isinstance(each, Known) for each in mask)
    assert repr(mask) == "<mask of env:PASSWORD, env:PIN>"


def test_a_mask_shows_references_and_no_values() -> None:
    assert repr(MASK) == "<mask of env:PASSWORD>"
    assert repr(Mask()) == "<mask of nothing>"


@given(st.text("abx", max_size=40), st.integers(0, 40))
def test_what_is_open_at_an_end_is_what_may_become_a_value(text: str, cut: int) -> None:
    forms = (b"abab", b"abx")
    data = text.encode()[:cut]
    begins = open_end(data, forms)
    rests = [at for at in range(len(data)) if any(form != data[at:] and form.startswith(data[at:]) for form in forms)]
    assert begins == min(rests, default=len(data))


@pytest.mark.parametrize(
    "text", ["hunter2", "env:", "env:1A", "env:A B", "file:relative", "file:", "", "vault:x", "env:A\n", 7, None]
)
def test_what_is_no_reference_is_refused_and_not_repeated(text: object) -> None:
    with pytest.raises(ConfigError) as refused:
        check_reference(text)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("text", ["env:DB_PASSWORD", "env:_x", "file:/run/secrets/db password"])
def test_references(text: str) -> None:
    assert check_reference(text) == text

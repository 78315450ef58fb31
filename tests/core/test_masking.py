from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mulligan.core.errors import ConfigError
from mulligan.core.masking import Known, Mask, check_reference, open_end

VALUE = 'hunter2/+ü"can\\ary'
PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\n9w0BAQEFAASCBKcwggSj\nab==\n-----END KEY-----"


FORMS = [
    VALUE,
    quote(VALUE, safe=""),
    quote(VALUE),
    quote_plus(VALUE),
    quote(VALUE, safe="").replace("%C3%BC", "%c3%bc").replace("%2B", "%2b").replace("%2F", "%2f").replace("%5C", "%5c"),
    json.dumps(VALUE)[1:-1],
    json.dumps(VALUE, ensure_ascii=False)[1:-1],
    repr(VALUE)[1:-1],
    VALUE.encode().hex(),
    VALUE.replace('"', "&quot;"),
]


def a_mask() -> Mask:
    return Mask().adding(Known("env:PASSWORD", VALUE))


@pytest.mark.parametrize("text", FORMS)
def test_a_value_is_hidden_however_it_is_written_and_nothing_beside_it(text: str) -> None:
    assert a_mask().text(f"at https://ann:{text}@host") == "at https://ann:***@host"
    assert a_mask().text(f"{text} and {text}") == "*** and ***"


@pytest.mark.parametrize("value", ["s p/ace", "per%cent", "a\nb\x00cd"])
def test_what_has_to_be_escaped_is_hidden_in_all_that_escape_it(value: str) -> None:
    mask = Mask().adding(Known("env:A", value))
    for text in (quote(value, safe=""), quote(value), quote_plus(value), json.dumps(value)[1:-1], repr(value)[1:-1]):
        assert mask.text(f"<{text}>") == "<***>", text
        small = re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), text)
        assert mask.text(f"<{small}>") == "<***>", small


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:"])
@pytest.mark.parametrize("after", ["", "x", "xy", "xyz"])
@pytest.mark.parametrize("value", [VALUE, f"{VALUE}1", f"{VALUE}12", "six678"])
@pytest.mark.parametrize("coded", [base64.b64encode, base64.urlsafe_b64encode])
def test_all_of_a_value_s_base64_that_does_not_depend_on_what_stands_beside_it_is_hidden(
    before: str, after: str, value: str, coded: Callable[[bytes], bytes]
) -> None:
    text = coded(f"{before}{value}{after}".encode()).decode()
    starts, size = len(before.encode()), len(value.encode())
    shown = text[: -(-8 * starts // 6)], text[8 * (starts + size) // 6 :]
    said = Mask().adding(Known("env:A", value)).text(f"Basic {text}")
    assert said == f"Basic {shown[0]}***{shown[1]}"


def test_values_of_less_than_six_characters_are_looked_for_as_they_are_only() -> None:
    for value, hidden in (('ab"de', False), ('ab"def', True)):
        mask = Mask().adding(Known("env:A", value))
        assert mask.text(f"<{value}>") == "<***>"
        assert (mask.text(json.dumps(value)) == '"***"') is hidden


def test_a_value_that_stands_several_times_also_within_itself_is_hidden_each_time() -> None:
    mask = Mask().adding(Known("env:A", "aaaa"), Known("env:B", "bcbc"))
    assert mask.text("aaaaa") == "***"
    assert mask.text("bcbcbc bcbc") == "*** ***"
    assert mask.text("bcbcbcbc") == "***", "they overlap"
    assert mask.text("aaaabcbc") == "******", "two that touch are two"


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


def test_lines_of_twelve_characters_are_hidden_by_themselves_and_shorter_ones_not() -> None:
    mask = Mask().adding(Known("file:/key", "abcdefghijkl\nmnopqrstuvw"))
    assert mask.text("abcdefghijkl mnopqrstuvw") == "*** mnopqrstuvw"


def test_base64_is_refused_from_twelve_characters_on_since_fewer_may_stand_there_by_chance() -> None:
    for value, refused in (("abcdefghi", "env:A"), ("abcdefgh", None)):
        mask = Mask().adding(Known("env:A", value))
        assert mask.found(json.dumps(f"x {base64.b64encode(value.encode()).decode()}")) == refused
    six = Mask().adding(Known("env:A", "abcdef"))
    assert six.found(json.dumps("x abcdef y")) == "env:A"
    assert six.found(json.dumps(base64.b64encode(b"abcdef").decode())) is None


def test_a_value_in_json_is_found_and_named_by_its_reference() -> None:
    for form in (VALUE, f"postgres://ann:{quote(VALUE, safe='')}@host", base64.b64encode(f"ann:{VALUE}".encode()).decode()):
        assert a_mask().found(json.dumps({"args": [form]})) == "env:PASSWORD"
        assert a_mask().found(json.dumps({"args": [form]}, ensure_ascii=False)) == "env:PASSWORD"
    assert a_mask().found(json.dumps({"secret": "env:PASSWORD"})) is None


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
    mask = a_mask().adding(Known("env:PIN", "1234"))
    assert mask.data(f"at {VALUE} with 1234 and 123".encode()) == b"at *** with *** and 123"
    assert mask.data(b"nothing of it") == b"nothing of it"


def test_json_in_which_no_value_stands_is_left_as_it_was_written() -> None:
    assert a_mask().json('{"a": 1,  "b": [true]}') == '{"a": 1,  "b": [true]}'
    assert a_mask().json(json.dumps({"a": VALUE, "b": [True]})) == '{"a":"***","b":[true]}'


def test_a_mask_says_which_values_it_knows_and_the_first_name_of_a_value_stays() -> None:
    mask = a_mask().adding(Known("env:OTHER", VALUE), Known("env:PIN", "1234"))
    assert VALUE in mask
    assert "hunter2" not in mask
    assert a_mask()
    assert dict(mask) == {"env:PASSWORD": VALUE, "env:PIN": "1234"}
    assert all(isinstance(each, Known) for each in mask)
    assert repr(mask) == "<mask of env:PASSWORD, env:PIN>"


def test_a_mask_shows_references_and_no_values() -> None:
    assert repr(a_mask()) == "<mask of env:PASSWORD>"
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
    assert str(refused.value).startswith(
        "a secret is named by env:NAME, a variable of the worker's environment, or by file:/absolute/path"
    )
    assert str(refused.value).endswith("is not shown since it may be the secret itself")


@pytest.mark.parametrize("text", ["env:DB_PASSWORD", "env:_x", "file:/run/secrets/db password"])
def test_references(text: str) -> None:
    assert check_reference(text) == text

"""Rule files: what they may say, and how a mistake in one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from mulligan.config.rules import default_rules, load_rules, rules_table
from mulligan.core.errors import ConfigError
from mulligan.core.failure import Kind, Rule
from mulligan.core.job import FailureClass

DOCUMENT = Path(__file__).parents[2] / "docs" / "failures.md"


def written(folder: Path, text: str) -> Path:
    file = folder / "rules.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_every_field_of_a_rule_is_read(tmp_path):
    file = written(
        tmp_path,
        """
        [[rule]]
        id = "mine"
        class = "RATE_LIMITED"
        exceptions = ["acme.Busy"]
        http = [418, "520-527"]
        errnos = ["EBUSY"]
        codes = ["Slow", "08???"]
        exit_codes = [3, "40-42"]
        signals = ["SIGUSR1"]
        kinds = ["out_of_memory"]
        message = "later"
        needs_retry_after = true
        unwrap = true
        note = "acme asks for patience"
        cause = "acme-busy"
        """,
    )
    assert load_rules(file).rules == (
        Rule(
            id="mine",
            failure_class=FailureClass.RATE_LIMITED,
            exceptions=("acme.Busy",),
            http=((418, 418), (520, 527)),
            errnos=("EBUSY",),
            codes=("Slow", "08???"),
            exit_codes=(3, 40, 41, 42),
            signals=("SIGUSR1",),
            kinds=(Kind.OUT_OF_MEMORY,),
            message="later",
            needs_retry_after=True,
            unwrap=True,
            note="acme asks for patience",
            cause="acme-busy",
        ),
    )


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ('class = "TRANSIENTT"', "class"),
        ("class = 5", "class"),
        ('exceptions = "ValueError"', "exceptions"),
        ("exceptions = [7]", "exceptions"),
        ('exceptions = ["not a name"]', "exceptions"),
        ('exceptions = ["BaseException"]', "exceptions"),
        ('http = ["5xx"]', "http"),
        ("http = [99]", "http"),
        ("http = [true]", "http"),
        ('http = ["599-500"]', "http"),
        ('errnos = ["ENOSPCE"]', "errnos"),
        ('codes = ["0????"]', "codes"),
        ('codes = [""]', "codes"),
        ("exit_codes = [256]", "exit_codes"),
        ('signals = ["KILL"]', "signals"),
        ('kinds = ["oom"]', "kinds"),
        ('message = ""', "message"),
        ("needs_retry_after = 1", "needs_retry_after"),
        ('note = "a | b"', "note"),
        ('cause = "two words"', "cause"),
        ('cause = "0123456789ab"', "cause"),
        ('status = "503"', "status"),
    ],
)
def test_a_mistake_is_told_with_file_rule_and_field(tmp_path, line, field):
    given = {"class": 'class = "TRANSIENT"', "http": "http = [500]", field: line}
    file = written(tmp_path, "\n".join(['[[rule]]\nid = "mine"', *given.values()]))
    with pytest.raises(ConfigError) as caught:
        load_rules(file)
    assert str(caught.value).startswith(f"{file}: rule mine: {field}: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[rule]]\nclass = "TRANSIENT"', "rule number 1: id: "),
        ('[[rule]]\nid = "a b"', "rule number 1: id: "),
        ('[[rule]]\nid = "mine"', "rule mine: class: expected one of TRANSIENT, "),
        ('[[rule]]\nid = "mine"\nclass = "UNKNOWN"', "rule mine: exceptions: the rule matches nothing"),
        ('[[rule]]\nid = "m"\nclass = "UNKNOWN"\nhttp = [500]\n' * 2, "rule m: id: an earlier rule has this id"),
        ("[rule]\nid = 5", "rule: write every rule as a table"),
        ("[[rules]]\nid = 5", "rules: a rule file holds"),
        ("[[rule", "this is not TOML"),
        ("a = " + "[" * 5000, "this is not TOML"),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused(tmp_path, text, said):
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_rules(file)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{file}: ")


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.toml: the rules cannot be read: No such file"):
        load_rules(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not TOML"):
        load_rules(tmp_path / "binary.toml")


def test_an_empty_file_has_no_rules(tmp_path):
    assert load_rules(written(tmp_path, "")).rules == ()


def test_the_default_rules_are_read_once_and_every_one_can_be_reached():
    assert default_rules() is default_rules()
    reached = {rule.id for rules in default_rules().index.values() for rule in rules}
    assert reached == {rule.id for rule in default_rules().rules}
    hidden = [
        (key, later.id)
        for key, rules in default_rules().index.items()
        for number, earlier in enumerate(rules)
        for later in rules[number + 1 :]
        if earlier.message is None and not earlier.needs_retry_after and key[0] != "http"
    ]
    assert hidden == []


def test_the_document_shows_the_rules_as_they_are():
    assert rules_table(default_rules()) in DOCUMENT.read_text(encoding="utf-8")

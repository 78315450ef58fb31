"""Pages that are written by hand: their code compiles and is that of the examples, and the tests that they name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMING_FROM = (ROOT / "docs" / "coming-from.md").read_text("utf-8")
EXAMPLE = (ROOT / "examples" / "nightly.py").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", COMING_FROM, re.MULTILINE | re.DOTALL)
OTHERS = ("tenacity", "celery", "prefect", "airflow", "dbos")


@pytest.mark.parametrize("page", ["coming-from.md", "recover-or-restart.md"])
def test_a_page_names_tests_that_there_are(page: str) -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / page).read_text("utf-8")))
    texts = [each.read_text("utf-8") for each in (ROOT / "tests").rglob("test_*.py")]
    there = {name for text in texts for name in re.findall(r"^ *def (test_\w+)", text, re.MULTILINE)}
    assert named
    assert named <= there, f"named on the page, and not there: {sorted(named - there)}"


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_code_for_those_who_come_from_elsewhere_compiles(block: str) -> None:
    compile(block, "coming-from.md", "exec")


def test_what_they_come_to_is_the_example_as_it_is() -> None:
    ours = [block for block in BLOCKS if not re.search(rf"^(from|import) ({'|'.join(OTHERS)})\b", block, re.MULTILINE)]
    assert len(BLOCKS) - len(ours) == len(OTHERS), "one block for each of the others"
    assert ours
    for block in ours:
        assert block in EXAMPLE, f"not in examples/nightly.py: {block}"

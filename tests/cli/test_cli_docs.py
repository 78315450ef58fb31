"""The page about the command line says all that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli_harness import Run

from mulligan.cli.commands import build

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
APP = build()
COMMANDS = sorted(
    [str(each.name) for each in APP.registered_commands]
    + [f"{group.name} {each.name}" for group in APP.registered_groups for each in group.typer_instance.registered_commands]
)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_section_with_the_example_of_its_help(bare: Run, name: str) -> None:
    example = bare(*name.split(), "--help").out.partition("Example:\n")[2].strip()
    _, found, section = PAGE.partition(f"\n### {name}\n")
    assert found
    assert section.lstrip().startswith(example)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_is_on_the_page(bare: Run, name: str) -> None:
    said = re.findall(r"(?<![\w-])--?[a-z][a-z-]*", bare(*name.split(), "--help").out.partition("Example:")[0])
    assert [option for option in said if f"`{option}" not in PAGE] == []


def test_the_page_has_no_section_of_a_command_that_there_is_not() -> None:
    assert sorted(re.findall(r"^### ([\w ]+)$", PAGE, re.MULTILINE)) == COMMANDS

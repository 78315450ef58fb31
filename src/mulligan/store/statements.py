"""Loads the named SQL statements: those common to all stores, and over them those of one dialect."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def statements(dialect: str) -> dict[str, str]:
    """Return the statements of a dialect by name."""
    found = _parse("common")
    found.update(_parse(dialect))
    return found


@cache
def checks(dialect: str) -> dict[str, tuple[str, str]]:
    """Return the invariants that SQL can check: name to what is wrong in words, and the statement that finds it."""
    result = {}
    for name, body in sorted((_parse("verify.common") | _parse(f"verify.{dialect}")).items()):
        first, _, rest = body.partition("\n")
        result[name] = (first.removeprefix("--").strip(), rest)
    return result


def _parse(file: str) -> dict[str, str]:
    text = (files("mulligan.store") / "sql" / f"{file}.sql").read_text("utf-8")
    pieces = _NAME.split(text)
    names, bodies = pieces[1::2], pieces[2::2]
    if len(set(names)) != len(names):
        raise ValueError(f"{file}.sql has two statements of one name")
    return {name: body.strip().rstrip(";") for name, body in zip(names, bodies, strict=True)}

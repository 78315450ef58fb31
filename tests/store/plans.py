"""How each store would run a statement: which tables it reads by which index, and which it reads all of."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from mulligan.store.postgres_running import PARAMETER
from mulligan.store.statements import statements
from mulligan.store.store import Store

_NAMED = re.compile(
    r"\b(?:from|join|update|into)\s+(\w+)(?:\s+(?:as\s+)?(?!on\b|set\b|where\b|values\b|indexed\b|order\b|join\b)(\w+))?"
)
_STEP = re.compile(r"^(SEARCH|SCAN) (\w+)(?: EXISTS)?(?: USING (?:COVERING )?(?:INDEX (\w+)|(?:INTEGER )?(PRIMARY KEY)))?(.*)$")
_COMPUTED = re.compile(r"^SCAN (\d+ CONSTANT ROW|CONSTANT ROW|\(subquery)")
BATCHES = {
    "tasks": [1],
    "digests": ["1"],
    "jobs": [1],
    "workers": [1],
    "keys": [[1, 0]],
    "places": ["1"],
    "causes": ["1"],
    "ids": [1],
    "rows": [[1, 0, 0, "x", 1]],
}
_INDEXES = "select indexname, indexdef from pg_indexes where schemaname = current_schema()"
TEXTS = ("status", "kind", "key", "name", "namespace", "instance", "digest", "run_id", "value", "target", "position", "reason")
TEXTS += ("operation", "owner", "role", "pipelines", "body", "cause", "failure_class")


class Read(NamedTuple):
    """A table that a statement reads: by an index, and whether that leads to the rows or all of it is gone through."""

    table: str
    index: str
    sought: bool


def reads(store: Store, name: str) -> set[Read]:
    """Return how a named statement reads tables."""
    return reads_of(store, statements(store.database.dialect)[name])


def reads_of(store: Store, text: str, values: dict[str, Any] | None = None) -> set[Read]:
    """Return how a statement reads tables; functions that give rows, and what is computed, are none."""
    bare = re.sub(r"--[^\n]*|'[^']*'", "", text)
    given = values or {each: _value(each) for each in PARAMETER.findall(bare)}
    if store.database.dialect == "sqlite":
        return set(_sqlite(store, text, given, _tables(bare)))
    return set(_postgres(store, text, given))


def conditions(store: Store, name: str, index: str) -> list[str]:
    """Return on which conditions a named statement goes into an index of PostgreSQL."""
    text = statements(store.database.dialect)[name]
    values = {each: _value(each) for each in PARAMETER.findall(re.sub(r"--[^\n]*|'[^']*'", "", text))}
    with store.read():
        rows = list(store.database.text_in_reader(f"explain (format json) {text}", values))
    todo, found = [rows[0][0][0]["Plan"]], []
    while todo:
        node = todo.pop()
        todo += node.get("Plans", [])
        if node.get("Index Name") == index:
            found.append(str(node.get("Index Cond", "")))
    return found


def _value(parameter: str) -> Any:
    if parameter in BATCHES:
        return json.dumps(BATCHES[parameter])
    return "1" if parameter in TEXTS else 1


def _tables(text: str) -> dict[str, str]:
    """Return which table each name stands for."""
    found = {}
    for table, alias in _NAMED.findall(text):
        found[table] = table
        found[alias or table] = table
    return found


def _sqlite(store: Store, text: str, values: dict[str, Any], tables: dict[str, str]) -> Iterator[Read]:
    with store.read():
        steps = [str(row[3]) for row in store.database.text_in_reader(f"explain query plan {text}", values)]
    for step in steps:
        found = _STEP.match(step)
        assert found or not step.startswith(("SEARCH", "SCAN")) or _COMPUTED.match(step), step
        if found and found[2] in tables and tables[found[2]] not in ("json_each", "jsonb_each"):
            table = tables[found[2]]
            index = found[3] or (f"{table}_pkey" if found[4] else "")
            yield Read(table, re.sub(r"^sqlite_autoindex_(\w+)_\d+$", r"\1_unique", index), found[1] == "SEARCH")


def _postgres(store: Store, text: str, values: dict[str, Any]) -> Iterator[Read]:
    with store.read():
        rows = list(store.database.text_in_reader(f"explain (format json) {text}", values))
        first = {
            name: re.split(r"[(,)]", text.split(" USING ")[1])[1] for name, text in store.database.text_in_reader(_INDEXES, {})
        }
    todo = [rows[0][0][0]["Plan"]]
    while todo:
        node = todo.pop()
        todo += node.get("Plans", [])
        if node["Node Type"] == "Tid Scan":
            yield Read(node["Relation Name"], "place", sought=True)
        elif "Scan" in node["Node Type"] and "Relation Name" in node:
            index = node.get("Index Name", "")
            # A condition on other columns than the first is looked at in every entry of the index.
            leads = re.search(rf"\b{first.get(index, '-')}\b", node.get("Index Cond", ""))
            yield Read(node["Relation Name"], index, leads is not None)

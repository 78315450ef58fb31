"""The OpenAPI document, and every operation called with whatever it allows, and with what it does not, as every role.

`make fuzz` tries many more examples of each.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import schemathesis
from api_harness import ADD, FEATURES, Api
from hypothesis import HealthCheck, Phase, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from mulligan.core.access import Role
from mulligan.core.job import FailureClass
from mulligan.core.submission import NewItem
from mulligan.store.interface import Database
from mulligan.store.postgres import Place, PostgresDatabase

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
    unsupported_method,
]
HERE = "http://127.0.0.1:7878"
EXAMPLES = int(os.environ.get("EXAMPLES", "4"))
"""Of each operation, besides those that cover its document; a slice of what `make fuzz` tries."""
GENERATED = [Phase.generate, Phase.shrink]
"""Examples by chance only, since to which role they are answered makes no difference to those that cover the document."""


def filled(database: Database | None = None) -> Api:
    """Return the API on a store with something in every state, so that ids which are guessed may be there."""
    api = Api(database)
    api.failed(3)
    api.succeeded(FEATURES, 2, rows=1)
    api.harness.submit(ADD, 2)
    job = api.harness.submit(FEATURES, [NewItem("day", "{}", (0, 86_400_000))])
    worker = api.worker(FEATURES)
    worker.fail(worker.take(), FailureClass.TRANSIENT, failure=None)
    api.harness.submit(FEATURES, 1)
    worker.take()
    assert job
    return api


API = filled()
SCHEMA = schemathesis.openapi.from_asgi(
    "/api/openapi.json", API.app, headers={"apikey": API.texts[Role.VIEWER], "host": "127.0.0.1"}
).exclude(path="/api/stream")  # which has no end, and tests of its own
THERE = {"name": ["add", "features"], "job": ["1", "2", "3", "4", "5"], "work item": ["1-0", "2-1", "4-0", "5-0"]}


@pytest.fixture(scope="module")
def on_postgres(postgres_url: str) -> Iterator[Api]:
    """The same on PostgreSQL."""
    place = Place(postgres_url, f"test_document_{os.getpid()}")
    made = filled(PostgresDatabase(place))
    yield made
    made.harness.store.close()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"drop schema {place.schema} cascade".encode())


def checked(api: Api, case: Any, role: Role | None, checks: list[Any]) -> Any:
    """Make a request as a role, and hold its answer against the document."""
    case.headers = {
        name: value for name, value in (case.headers or {}).items() if name.lower() not in ("apikey", "authorization")
    }
    given = {} if role is None else {"apikey": api.texts[role]}
    case.operation.schema.app = api.app
    response = case.call(base_url=HERE, headers={"host": "127.0.0.1:7878", **given})
    # A list of one text, and of things that are nothing on the wire, is there what the text is: nobody can refuse it.
    alike = any(isinstance(each, (list, dict)) for each in (case.query or {}).values())
    told = [each for each in checks if not (alike and each is negative_data_rejection)]
    case.validate_response(response, checks=told, headers=given)
    assert not api.told, api.told
    return response


@SCHEMA.parametrize()
@settings(max_examples=EXAMPLES, phases=GENERATED, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_operation_keeps_to_its_document_for_every_role(case: Any) -> None:
    for role in (None, *Role):  # from who may do nothing to who may do all: what is refused finds things as they were
        response = checked(API, case, role, CHECKS)
        if role is None and case.operation.path.startswith("/api"):
            assert response.status_code == 401


@SCHEMA.parametrize()
@settings(max_examples=2 * EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_every_operation_keeps_to_its_document_and_allowed_ones_find_what_is_there(
    case: Any, store: str, request: pytest.FixtureRequest
) -> None:
    api = request.getfixturevalue("on_postgres") if store == "postgres" else API
    if case.meta.generation.mode is GenerationMode.NEGATIVE:
        if api is API:  # it is refused before any store is asked
            checked(api, case, Role.ADMIN, CHECKS)
        return
    kind = "work item" if "work-items/{id}" in case.operation.path else "job"
    for name in case.path_parameters or {}:
        there = THERE["name" if name == "name" else kind]
        case.path_parameters[name] = there[len(str(case.body or case.query)) % len(there)]
    response = checked(api, case, Role.ADMIN, CHECKS)
    if case.path_parameters:
        assert "there is no job" not in response.text
        assert "there is no work item" not in response.text

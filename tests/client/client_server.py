"""A server in a thread of this process, with a real socket, on services that a test has."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator

from mulligan.app import Services
from mulligan.client.client import Client, connect
from mulligan.core.access import Role
from mulligan.engine.asking import Asker
from mulligan.sdk.loading import load
from mulligan.telemetry import silent


@contextlib.contextmanager
def serving(services: Services, *sources: str, role: Role = Role.OPERATOR) -> Iterator[Client]:
    """Give a client of a server at which the tasks of some files are published."""
    key = services.keys.create(f"tester {secrets.token_hex(4)}", role, None, Asker("tests"))
    with services.store.write() as session:
        for task in load(list(sources)).values() if sources else ():
            services.definitions.publish(session, task.definition(), services.clock.now_ms(), current=True)
    supervisor = services.make_supervisor()
    api = services.make_api(silent, supervisor)
    api.bind(or_any_port=True)
    api.start()
    try:
        with connect(api.url, key.text, request_timeout=10) as made:
            yield made
    finally:
        api.stop()
        supervisor.stop()

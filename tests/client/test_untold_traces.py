"""Work goes on where the traces that are asked for cannot be told, or cannot be told just now."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import client_tasks
import pytest

from mulligan import connect
from mulligan.core.errors import StoreBusy
from mulligan.sdk.loading import load
from mulligan.tracing.witness import SpanWitness

TASKS = str(client_tasks.__file__)


def run(folder: Path, count: int) -> list[str]:
    """Have a worker of this process do so many work items, and return what it said."""
    told: list[str] = []

    def tell(event: str, **facts: object) -> None:
        told.append(" ".join([event, *map(str, facts.values())]))

    with connect(f"sqlite:///{folder / 'store.db'}", processes=1) as client:
        job = client.map(client_tasks.same, range(count))
        worker = client.services.make_worker(load([TASKS]), [TASKS], tell)
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            assert [each.attempt for each in job.wait(20).work_items()] == [1] * count
        finally:
            worker.stop()
            thread.join(20)
        assert not thread.is_alive()
        assert client.verify() == []
    return told


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),  # less than the batches that nobody has named
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many"),
    ],
)
def test_variables_that_opentelemetry_refuses_are_told_of_once_and_fail_no_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv(name, value)
    told = run(tmp_path, 20)
    (said,) = (each for each in told if each.startswith("no traces are told"))
    assert "OTEL_" in said


def test_what_was_claimed_as_the_store_went_away_is_run_although_its_trace_was_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    known, failing = SpanWitness.traceparents, [StoreBusy("held by somebody")]

    def traceparents(self: SpanWitness, claims: Any) -> Any:
        if failing:
            raise failing.pop()
        return known(self, claims)

    monkeypatch.setattr(SpanWitness, "traceparents", traceparents)
    assert any(each.startswith("store is away") for each in run(tmp_path, 3))
    assert not failing

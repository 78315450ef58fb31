"""When traces are told: by the standard variables, and nothing of OpenTelemetry is loaded before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mulligan.tracing.wanted import unfit, wanted

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
LOADED = """
import sys
from mulligan import connect
import mulligan.worker.executors.process.child, mulligan.worker.worker
client = connect("sqlite:///store.db")
client.jobs()
client.close()
print(sorted(each for each in sys.modules if each.startswith("opentelemetry")))
"""


@pytest.mark.parametrize(
    ("environ", "kind"),
    [
        ({}, None),
        (ENDPOINT, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, None),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "TRUE"}, None),
    ],
)
def test_traces_are_told_where_the_standard_variables_ask_for_them(environ: dict[str, str], kind: str | None) -> None:
    assert wanted(environ) == kind


@pytest.mark.parametrize(
    ("kind", "environ", "said"),
    [
        ("zipkin", {}, "expected otlp, console or none"),
        ("otlp", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "set OTEL_EXPORTER_OTLP_TRACES_PROTOCOL to http/protobuf"),
    ],
)
def test_what_cannot_be_is_said_with_what_to_do(kind: str, environ: dict[str, str], said: str) -> None:
    assert said in (unfit(kind, environ) or "")
    assert unfit("otlp", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}) is None


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mulligan.tracing.wanted.find_spec", lambda _: None)
    assert "pip install 'mulligan[otel]'" in (unfit("otlp", {}) or "")


def test_where_nobody_asks_nothing_of_opentelemetry_is_loaded(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"

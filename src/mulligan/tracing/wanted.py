"""Whether traces are wanted, by the standard OTEL_ variables; decided without loading anything of OpenTelemetry."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
KINDS = ("otlp", "console")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def wanted(environ: Mapping[str, str]) -> str | None:
    """Return how spans are exported, `otlp` or `console`; None where they are not.

    They are where an endpoint or an exporter is named, unless OTEL_SDK_DISABLED is true.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    named = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if named:
        return None if named == "none" else named
    return "otlp" if any(environ.get(each) for each in ENDPOINTS) else None


def unfit(kind: str, environ: Mapping[str, str]) -> str | None:
    """Say why spans cannot be exported so, and what to do; None where they can. Work does not fail for want of traces."""
    if kind not in KINDS:
        return f"OTEL_TRACES_EXPORTER is {kind!r}: expected {', '.join(KINDS)} or none"
    protocol = next((environ[each] for each in PROTOCOLS if environ.get(each)), "http/protobuf")
    if kind == "otlp" and protocol != "http/protobuf":
        return (
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}: set OTEL_EXPORTER_OTLP_TRACES_PROTOCOL to http/protobuf, which is sent"
        )
    try:
        there = find_spec("opentelemetry.sdk.trace") and find_spec("opentelemetry.exporter.otlp.proto.http")
    except ModuleNotFoundError:
        there = None
    return None if there else "OTEL_ variables ask for traces, and what they take is not installed: pip install 'mulligan[otel]'"

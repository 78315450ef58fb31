"""Traces of OpenTelemetry that users' code is in, or is to be in; what it has not loaded is not loaded for it."""

from __future__ import annotations

import sys
from typing import Any

from mulligan.core.traceparent import Place, place_of


def current_traceparent() -> str | None:
    """Return the span that is active here, as W3C writes it; None where there is none."""
    trace = sys.modules.get("opentelemetry.trace")  # else nothing can be active
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    return str(Place(context.trace_id, context.span_id, bool(context.trace_flags & 1))) if context.is_valid else None


def enter(traceparent: str) -> Any:
    """Make a span the active one, here and in what is started from here; returns what `leave` is given."""
    from opentelemetry import context, trace

    place = place_of(traceparent)
    assert place is not None  # noqa: S101 - we have written it
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if place.sampled else trace.TraceFlags.DEFAULT)
    span = trace.NonRecordingSpan(trace.SpanContext(place.trace, place.span, is_remote=True, trace_flags=flags))
    return context.attach(trace.set_span_in_context(span))


def leave(token: Any) -> None:
    """Make active what was before."""
    from opentelemetry import context

    context.detach(token)

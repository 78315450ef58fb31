"""Spans handed to the SDK of OpenTelemetry, which is loaded here and nowhere else, and is set by its own OTEL_ variables."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, set_span_in_context

from mulligan.core.traceparent import Place
from mulligan.tracing.spans import Attributes, Span

CLOSING_S = 5.0
SOON_MS = 1_000
"""What a process holds back at most: its sudden death takes as much with it."""


class Exporter:
    """Sends spans that are over; used by one thread but for `sampled`."""

    def __init__(self, kind: str, version: str, hidden: Callable[[str], str]) -> None:
        """`kind` is `otlp` or `console`; `hidden` takes secrets out of texts."""
        self._ids = _Given()
        self._hidden = hidden
        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "mulligan"}))
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(_processor(kind))
        self._tracer = self._provider.get_tracer("mulligan", version)

    def sampled(self, trace_id: int, name: str) -> bool:
        """Return whether a trace that begins here is recorded: the same in every process of the same settings."""
        return self._provider.sampler.should_sample(None, trace_id, name).decision is Decision.RECORD_AND_SAMPLE

    def send(self, span: Span) -> None:
        """Have a span sent, some time soon; where the receiver cannot keep up it is dropped."""
        self._ids.place = span.place
        parent = Context() if span.parent is None else set_span_in_context(NonRecordingSpan(_context(span.parent)), Context())
        made = self._tracer.start_span(
            span.name,
            context=parent,
            kind=SpanKind.CONSUMER if span.consumes else SpanKind.INTERNAL,
            attributes=self._told(span.attributes),
            links=[Link(_context(each)) for each in span.links],
            start_time=span.start_ms * 1_000_000,
        )
        for event in span.events:
            made.add_event(event.name, self._told(event.attributes), event.at_ms * 1_000_000)
        if span.error is not None:
            made.set_status(Status(StatusCode.ERROR, self._hidden(span.error)))
        made.end(span.end_ms * 1_000_000)

    def close(self) -> None:
        """Send what is left, for some seconds at most: a receiver that is away must not keep a worker from ending."""
        closing = threading.Thread(target=self._provider.shutdown, name="mulligan-traces-end", daemon=True)
        closing.start()
        closing.join(CLOSING_S)

    def _told(self, attributes: Attributes) -> dict[str, Any]:
        return {name: self._hidden(value) if isinstance(value, str) else value for name, value in attributes.items()}


class _Given(IdGenerator):
    """Gives a span the ids that follow from what it is about."""

    place = Place(1, 1, sampled=False)

    def generate_span_id(self) -> int:
        """Return the id of the span that is made now."""
        return self.place.span

    def generate_trace_id(self) -> int:
        """Return the id of its trace."""
        return self.place.trace


def _processor(kind: str) -> SpanProcessor:
    if kind == "console":
        return SimpleSpanProcessor(ConsoleSpanExporter())
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    soon = None if "OTEL_BSP_SCHEDULE_DELAY" in os.environ else SOON_MS
    return BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=soon)


def _context(place: Place) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if place.sampled else TraceFlags.DEFAULT)
    return trace.SpanContext(place.trace, place.span, is_remote=True, trace_flags=flags)

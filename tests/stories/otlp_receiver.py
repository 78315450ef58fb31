"""A receiver of traces as there are many: HTTP, OTLP in protobuf, decoded by OpenTelemetry's own messages."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from story_harness import until

ERROR = 2


class Received(NamedTuple):
    name: str
    trace: str
    id: str
    parent: str
    facts: dict[str, Any]
    events: dict[str, dict[str, Any]]
    links: list[str]
    error: str | None
    begin: int
    end: int
    service: str


class Receiver:
    """What has come so far."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self.spans: list[Received] = []

    def named(self, name: str) -> list[Received]:
        """Return the spans of a name, the one that began first first."""
        return sorted((each for each in self.spans if each.name == name), key=lambda each: each.begin)

    def until(self, name: str, count: int = 1) -> list[Received]:
        """Return the spans of a name, once there are so many."""
        return until(lambda: (found := self.named(name)) and len(found) >= count and found, f"{count} of {name}: {self.spans}")


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Receive traces while this is open."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            made.spans += _spans(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _spans(request: Any) -> Iterator[Received]:
    for resource in request.resource_spans:
        service = _facts(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for each in scope.spans:
                yield Received(
                    each.name,
                    each.trace_id.hex(),
                    each.span_id.hex(),
                    each.parent_span_id.hex(),
                    _facts(each.attributes),
                    {event.name: _facts(event.attributes) for event in each.events},
                    [link.span_id.hex() for link in each.links],
                    each.status.message if each.status.code == ERROR else None,
                    each.start_time_unix_nano,
                    each.end_time_unix_nano,
                    service,
                )


def _facts(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}

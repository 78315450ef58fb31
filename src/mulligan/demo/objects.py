"""A small object store on 127.0.0.1 that serves the demo's files and fails as planned; run as a process of its own.

It tells its address in one JSON line on standard output, ends when its standard input does, and answers `/stats` with how
often each object was asked for and served in full. The log of requests is also its memory: a new process goes on counting.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import signal
import socket
import struct
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from mulligan.demo.faults import Fault, fault

STALL_S = 30.0
"""Longest silence of a stalled request; it ends at once when the caller gives up."""

_NAME = re.compile(r"/((?:flights|weather)/\d{4}-\d\d-\d\d\.csv)")


class ObjectStore(ThreadingHTTPServer):
    """Serves the files of a folder; `log` remembers each request as a line of name, number and outcome."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Path, log: Path, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.seed = seed
        self.asked: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._recall(log)
        self._log = log.open("a", encoding="utf-8", buffering=1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def ask(self, name: str) -> int:
        """Count a request and return its number."""
        with self._lock:
            self.asked[name] += 1
            self._log.write(f"{name} {self.asked[name]} asked\n")
            return self.asked[name]

    def serve(self, name: str, number: int) -> None:
        """Count a body that was sent in full."""
        with self._lock:
            self.served[name] += 1
            self._log.write(f"{name} {number} served\n")

    def stats(self) -> dict[str, dict[str, int]]:
        """Return how often each object was asked for, and served in full."""
        with self._lock:
            return {"asked": dict(self.asked), "served": dict(self.served)}

    def server_close(self) -> None:
        """Close the socket and the log."""
        super().server_close()
        self._log.close()

    def _recall(self, log: Path) -> None:
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        for line in lines:
            match line.split():
                case [name, _, "asked"]:
                    self.asked[name] += 1
                case [name, _, "served"]:
                    self.served[name] += 1


class _Handler(BaseHTTPRequestHandler):
    server: ObjectStore
    timeout = 60

    def do_GET(self) -> None:
        if self.path == "/stats":
            return self._body(json.dumps(self.server.stats()).encode(), "application/json")
        found = _NAME.fullmatch(self.path)
        path = self.server.folder / found[1] if found else None
        if found is None or path is None or not path.is_file():
            return self.send_error(404, "no such object")
        name = found[1]
        number = self.server.ask(name)
        body = path.read_bytes()
        trouble = fault(self.server.seed, name, number)
        if trouble is not None:
            return self._fail(trouble, body)
        self.server.serve(name, number)
        return self._body(body, "text/csv")

    def _fail(self, trouble: Fault, body: bytes) -> None:
        match trouble.kind:
            case "unavailable":
                self._refuse(503, trouble.retry_after_s)
            case "limited":
                self._refuse(429, trouble.retry_after_s)
            case "reset":
                self._reset()
            case "stall":
                self._part(body)
                select.select([self.connection], [], [], STALL_S)
            case "truncated":
                self._part(body)

    def _refuse(self, status: int, retry_after_s: int | None) -> None:
        self.send_response(status)
        if retry_after_s is not None:
            self.send_header("Retry-After", str(retry_after_s))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _reset(self) -> None:
        # With a linger time of zero, closing sends RST. Detached, so that nobody shuts it down politely before that.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def _part(self, body: bytes) -> None:
        self._head(len(body), "text/csv")
        self.wfile.write(body[: len(body) // 2])

    def _body(self, body: bytes, kind: str) -> None:
        self._head(len(body), kind)
        self.wfile.write(body)

    def _head(self, length: int, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="mulligan.demo.objects")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us; our input ends then
    with ObjectStore(arguments.folder, arguments.log, arguments.seed) as store:
        threading.Thread(target=store.serve_forever, daemon=True).start()
        sys.stdout.write(json.dumps({"url": store.url}) + "\n")
        sys.stdout.flush()
        sys.stdin.buffer.read()
        store.shutdown()


if __name__ == "__main__":
    main()

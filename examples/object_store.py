"""An object store to try things with, on this machine: one file for each day, and a 503 for the first who asks for it."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COLUMNS = "day,flight,delay"


class ObjectStore(ThreadingHTTPServer):
    """Serves `/DAY.csv` for any day; `columns` is the first line of a file, `hangs` are paths that are not answered at first."""

    def __init__(self, port: int, columns: str = COLUMNS, hangs: tuple[str, ...] = ()) -> None:
        super().__init__(("127.0.0.1", port), Answers)
        self.columns = columns
        self.hangs = hangs
        self.closing = threading.Event()
        self.asked: Counter[str] = Counter()

    def __enter__(self) -> ObjectStore:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()


class Answers(BaseHTTPRequestHandler):
    """One request."""

    server: ObjectStore

    def do_GET(self) -> None:
        """Answer the first request for a file with 503, the others with the file."""
        self.server.asked[self.path] += 1
        if self.server.asked[self.path] == 1:
            if self.path in self.server.hangs:
                self.server.closing.wait()
            self.send_error(503)
            return
        day = self.path.strip("/").removesuffix(".csv")
        lines = [self.server.columns, *(f"{day},{flight},{flight * 7 % 60}" for flight in range(100))]
        self.send_response(200)
        self.end_headers()
        self.wfile.write("\n".join(lines).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say what was asked for and answered, in one line."""
        print("object store:", format % args, file=sys.stderr)

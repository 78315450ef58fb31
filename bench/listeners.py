"""What many who listen to the stream cost a server, on SQLite: `python -m bench.listeners [COUNT]`."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MULLIGAN = [sys.executable, "-m", "mulligan.cli.main"]
TASK = "from mulligan import task\n\n\n@task\ndef add(a: int) -> int:\n    return a + 1\n"
EVENTS = 20


async def _get(host: str, port: int, path: str, key: str, body: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(host, port)
    method = "POST" if body else "GET"
    more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    close = "" if path == "/api/stream" else "Connection: close\r\n"
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\napikey: {key}\r\n{close}{more}\r\n{body}".encode())
    return reader, writer


async def _asked(host: str, port: int, path: str, key: str, body: str = "") -> float:
    began = time.monotonic()
    reader, writer = await _get(host, port, path, key, body)
    answer = await reader.read()
    writer.close()
    if b" 20" not in answer[:20]:
        raise RuntimeError(answer[:300])
    return (time.monotonic() - began) * 1000


async def _hear(reader: asyncio.StreamReader, ready: asyncio.Semaphore, heard: list[float]) -> None:
    count = 0
    while count < EVENTS:
        line = await reader.readline()
        if line == b"event: ready\n":
            ready.release()
        elif line == b"event: job_ended\n":
            count += 1
    heard.append(time.monotonic())


def _resident_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("utf-8"))
    return int(found[1]) / 1024 if found else 0.0


async def _measure(url: str, key: str, pid: int, count: int) -> None:
    host, port = url.removeprefix("http://").split(":")
    at = (host, int(port))
    for _ in range(20):
        await _asked(*at, "/api/jobs?limit=20", key)
    alone = [await _asked(*at, "/api/jobs?limit=20", key) for _ in range(50)]
    before, ready, heard = _resident_mb(pid), asyncio.Semaphore(0), list[float]()
    connections = []
    began = time.monotonic()
    for start in range(0, count, 100):
        opened = [_get(*at, "/api/stream", key) for _ in range(min(100, count - start))]
        connections += await asyncio.gather(*opened)
    hearing = [asyncio.ensure_future(_hear(reader, ready, heard)) for reader, _ in connections]
    for _ in range(count):
        await ready.acquire()
    joined = time.monotonic() - began
    listening = _resident_mb(pid)
    beside = [await _asked(*at, "/api/jobs?limit=20", key) for _ in range(50)]
    told = time.monotonic()
    for _ in range(EVENTS):
        await _asked(*at, "/api/jobs", key, '{"task": "add", "args": {"a": 1}}')
    during = [await _asked(*at, "/api/jobs?limit=20", key) for _ in range(50)]
    await asyncio.gather(*hearing)
    for name, value in (
        ("all are told that they listen, after s", joined),
        ("MB of the server before, and for each listener KB", before),
        ("  KB", (listening - before) * 1024 / count),
        ("MB of the server after all was told", _resident_mb(pid)),
        ("GET /api/jobs ms, nobody listens", statistics.median(alone)),
        ("GET /api/jobs ms, all listen", statistics.median(beside)),
        ("GET /api/jobs ms, while all are told: median", statistics.median(during)),
        ("  worst", max(during)),
        (f"{EVENTS} submits until all {count} have heard of all ends, s", max(heard) - told),
    ):
        sys.stdout.write(f"{name}: {value:.2f}\n")


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.listeners", description="What many who listen to the stream cost a server.")
    parser.add_argument("count", nargs="?", type=int, default=1_000, help="connections (1,000)")
    count = parser.parse_args().count
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "add.py").write_text(TASK, "utf-8")
        made = {**os.environ, "MULLIGAN_DATABASE": f"sqlite:///{folder}/runs.db", "MULLIGAN_PORT": "0", "PYTHONUNBUFFERED": "1"}
        key = subprocess.run([*MULLIGAN, "keys", "create", "--role", "operator", "--name", "bench"],
                             env=made, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
        with (Path(folder) / "log").open("wb") as log:
            worker = subprocess.Popen([*MULLIGAN, "worker", "add.py"], env=made, cwd=folder, stdout=log, stderr=log)
            server = subprocess.Popen([*MULLIGAN, "server"], env=made, cwd=folder, stdout=log, stderr=log)
        try:
            url = None
            while url is None or b"worker started" not in (Path(folder) / "log").read_bytes():
                url = re.search(r"url='(http://[^']+)'", (Path(folder) / "log").read_text("utf-8"))
                time.sleep(0.1)
            asyncio.run(_measure(url[1], key, server.pid, count))
        finally:
            began = time.monotonic()
            server.terminate()
            server.wait(30)
            sys.stdout.write(f"the server ended with all of them, after s: {time.monotonic() - began:.2f}\n")
            worker.terminate()
            worker.wait(30)


if __name__ == "__main__":
    main()

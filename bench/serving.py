"""`python -m bench.serving`: every page and read of a server with a million items in its store; many clients at once."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import shlex
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import httpx

from bench import bodies, page, stores, tasks, template
from bench.machine import as_lines, machine
from bench.report import number, spread
from mulligan import connect

MULLIGAN = [sys.executable, "-m", "mulligan.cli.main"]
BEGIN = datetime(2000, 1, 1, tzinfo=UTC)
SMALL_JOBS = 2_000
TIMES = 40
CHUNK = 10_000


class Row(NamedTuple):
    """What one address costs: milliseconds until the whole answer is there, and its size as it is sent."""

    path: str
    median_ms: float
    p99_ms: float
    kb: float


def main() -> None:
    """Measure on each store, and print what there is."""
    given = _parser().parse_args()
    parts = []
    with stores.server() as server:
        for store in given.stores:
            if store == "postgres" and server is None:
                continue
            with contextlib.ExitStack() as around:
                folder = Path(around.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=given.folder)))
                url = around.enter_context(stores.database(str(server))) if store == "postgres" else f"sqlite:///{folder}/runs.db"
                os.environ[bodies.FOLDER] = str(folder)
                parts += _measured(store, url, folder, given)
        facts = machine(server)
    command = shlex.join(["python", "-m", "bench.serving", *sys.argv[1:]])
    page.publish("\n".join([*as_lines(facts, command), *parts]), "serving", given.write)


def _measured(store: str, url: str, folder: Path, given: argparse.Namespace) -> list[str]:
    paths = _fill(url, given.items)
    lines = [
        f"**{store}**, {given.items:,} items that succeeded, {given.items // 10:,} that failed, {SMALL_JOBS:,} small jobs",
        "",
    ]
    with _server(url, folder) as (address, key, pid):
        lines += ["| address | median ms | p99 ms | KB sent |", "| --- | ---: | ---: | ---: |"]
        for row in _reads(address, key, paths):
            lines.append(f"| `{row.path}` | {row.median_ms:.1f} | {row.p99_ms:.1f} | {row.kb:.1f} |")
            print(store, lines[-1], file=sys.stderr, flush=True)
        lines += ["", "| submits, many at once | |", "| --- | ---: |"]
        whole = _whole(address, key)
        lines.append(f"| `POST /api/jobs` of {CHUNK:,} work items, s | {spread(whole)} |")
        for what, value in _crowd(address, key, pid, given.clients, given.rounds):
            lines.append(f"| {what} | {value} |")
            print(store, lines[-1], file=sys.stderr, flush=True)
        for what, value in _chunks(address, key, pid, given.chunks):
            lines.append(f"| {what} | {value} |")
            print(store, lines[-1], file=sys.stderr, flush=True)
    return [*lines, ""]


def _fill(url: str, count: int) -> list[str]:
    """Fill a store; return what there is to be looked at."""
    client, raw = connect(url), template.Raw(url)
    finished = client.backfill(tasks.grid, BEGIN, BEGIN + timedelta(minutes=count), every="1m").id
    template.end(raw, finished, "SUCCESS")
    failed = template.have(raw, client, "FAILURE", count // 10)
    small = [client.map(tasks.plain, range(3)).id for _ in range(SMALL_JOBS)]
    for job in small:
        template.end(raw, job, "SUCCESS")
    raw.settle_down()
    raw.close()
    client.close()
    api = ["/jobs", "/jobs?limit=500", "/jobs?status=FAILURE", f"/jobs/{finished}", f"/jobs/{finished}/work-items",
           f"/jobs/{failed}/failures", "/work-items?status=FAILURE", f"/work-items?cause={template.CAUSE}",
           f"/work-items/{failed}-7", "/causes", f"/causes/{template.CAUSE}", "/overview", "/pipelines", "/trends", "/workers",
           "/operations", f"/partitions?task=grid&from={BEGIN:%Y-%m-%dT%H:%M:%SZ}&limit=500",
           "/partitions/calendar?task=grid", f"/work-items?job={failed}&latest=true"]  # fmt: skip
    pages = ["/", "/jobs", "/jobs?q=state:failed", f"/jobs/{finished}", f"/jobs/{failed}", f"/work-items/{failed}-7",
             f"/work-items?job={failed}", f"/work-items?cause={template.CAUSE}", "/causes", f"/causes/{template.CAUSE}",
             "/pipelines", "/pipelines/grid", "/trends", "/workers", "/operations", "/settings"]  # fmt: skip
    return ["/metrics", *(f"/api{each}" for each in api), *pages]


@contextlib.contextmanager
def _server(url: str, folder: Path) -> Iterator[tuple[str, str, int]]:
    """Have a server run; gives its address, the key of an operator, its process id."""
    made = {**os.environ, "MULLIGAN_DATABASE": url, "MULLIGAN_PORT": "0", "PYTHONUNBUFFERED": "1"}
    create = [*MULLIGAN, "keys", "create", "--role", "operator", "--name", "bench"]
    key = subprocess.run(create, env=made, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    said = folder / "server.log"
    with said.open("wb") as log:
        server = subprocess.Popen([*MULLIGAN, "server"], env=made, cwd=folder, stdout=log, stderr=log)
    try:
        while (found := re.search(r"url='(http://[^']+)'", said.read_text("utf-8"))) is None:
            if server.poll() is not None:
                raise RuntimeError(said.read_text("utf-8"))
            time.sleep(0.05)
        yield found[1], key, server.pid
    finally:
        server.terminate()
        server.wait(30)


def _reads(address: str, key: str, paths: list[str]) -> Iterator[Row]:
    """Read each address several times; the first, which may find nothing in memory, counts too."""
    with httpx.Client(base_url=address, timeout=60.0) as api, httpx.Client(base_url=address, timeout=60.0) as browser:
        api.headers["apikey"] = key
        browser.headers["Accept"] = "text/html"
        login = browser.post("/login", data={"key": key}, headers={"Origin": address})
        if login.status_code not in {200, 303}:
            raise RuntimeError(f"not logged in: {login.status_code} {login.text[:500]}")
        for path in paths:
            client = api if path.startswith(("/api/", "/metrics")) else browser
            times, size = [], 0
            for _ in range(TIMES):
                began = time.perf_counter()
                answer = client.get(path)
                times.append((time.perf_counter() - began) * 1000)
                size = answer.num_bytes_downloaded
                if answer.status_code != 200:
                    raise RuntimeError(f"{path}: {answer.status_code} {answer.text[:500]}")
            times.sort()
            yield Row(path, statistics.median(times), times[min(len(times) - 1, round(len(times) * 0.99))], size / 1024)


def _crowd(address: str, key: str, pid: int, clients: int, rounds: int) -> Iterator[tuple[str, str]]:
    """Have many clients submit and read at once, each what it has submitted and a page of jobs; several times over."""
    for turn in range(1, rounds + 1):
        began = time.perf_counter()
        submits, reads, wrong = asyncio.run(_rush(address, key, clients, turn))
        passed = time.perf_counter() - began
        if turn == 1 or turn == rounds:
            yield f"{clients} clients, turn {turn} of {rounds}: requests/s", number((len(submits) + len(reads)) / passed)
            yield "submit of one, median and p99, ms", f"{statistics.median(submits):,.0f} · {_p99(submits):,.0f}"
            yield "`GET /api/jobs` and the job, median and p99, ms", f"{statistics.median(reads):,.0f} · {_p99(reads):,.0f}"
            yield "answers that were no success", number(wrong)
            yield "memory of the server, MB", number(_resident_mb(pid))


async def _rush(address: str, key: str, clients: int, turn: int) -> tuple[list[float], list[float], int]:
    submits: list[float] = []
    reads: list[float] = []
    wrong = 0
    context = ssl.create_default_context()  # made once: each client would make its own

    async def one(number: int) -> None:
        nonlocal wrong
        async with httpx.AsyncClient(base_url=address, headers={"apikey": key}, timeout=120.0, verify=context) as http:
            for each in range(5):
                body = {"task": "plain", "args": {"number": number}, "run_id": f"crowd-{turn}-{number}-{each}"}
                began = time.perf_counter()
                made = await http.post("/api/jobs", json=body)
                submits.append((time.perf_counter() - began) * 1000)
                if made.status_code != 201:
                    wrong += 1
                    print(made.status_code, made.text[:300], file=sys.stderr)
                    continue
                for path in ("/api/jobs?limit=20", f"/api/jobs/{made.json()['id']}"):
                    began = time.perf_counter()
                    found = await http.get(path)
                    reads.append((time.perf_counter() - began) * 1000)
                    if found.status_code != 200:
                        wrong += 1
                        print(found.status_code, found.text[:300], file=sys.stderr)

    await asyncio.gather(*(one(each) for each in range(clients)))
    return submits, reads, wrong


def _whole(address: str, key: str) -> list[float]:
    """Submit jobs of many work items, each in one request; return how many seconds each took."""
    times = []
    with httpx.Client(base_url=address, headers={"apikey": key}, timeout=60.0) as http:
        for _ in range(5):
            body = {"task": "plain", "items": [{"args": {"number": number}} for number in range(CHUNK)]}
            began = time.perf_counter()
            http.post("/api/jobs", json=body).raise_for_status()
            times.append(time.perf_counter() - began)
    return times


def _chunks(address: str, key: str, pid: int, chunks: int) -> Iterator[tuple[str, str]]:
    """Submit one large job in chunks; tell what memory the server has after each quarter of it."""
    with httpx.Client(base_url=address, headers={"apikey": key}, timeout=60.0) as http:
        made = http.post("/api/jobs", json={"task": "plain", "items": [], "sealed": False, "run_id": "in chunks"})
        if made.status_code != 201:
            raise RuntimeError(made.text)
        job, held = made.json()["id"], []
        began = time.perf_counter()
        for each in range(chunks):
            first = each * CHUNK
            items = [{"args": {"number": number}, "key": str(number)} for number in range(first, first + CHUNK)]
            answer = http.post(f"/api/jobs/{job}/work-items", json={"first": first, "items": items})
            if answer.status_code != 200:
                raise RuntimeError(answer.text)
            if (each + 1) % max(1, chunks // 4) == 0:
                held.append(number(_resident_mb(pid)))
        http.post(f"/api/jobs/{job}/seal").raise_for_status()
        passed = time.perf_counter() - began
    yield f"a job of {chunks * CHUNK:,} items in chunks of {CHUNK:,}: items/s", number(chunks * CHUNK / passed)
    yield "memory of the server after each quarter of them, MB", " · ".join(held)


def _p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, round(len(values) * 0.99))]


def _resident_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("utf-8"))
    return int(found[1]) / 1024 if found else 0.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.serving", description="What a server answers beside a million items.")
    parser.add_argument("--stores", nargs="+", choices=("sqlite", "postgres"), default=["sqlite", "postgres"])
    parser.add_argument("--items", type=int, default=1_000_000, help="that have succeeded; a tenth as many have failed")
    parser.add_argument("--clients", type=int, default=500, help="that submit and read at once")
    parser.add_argument("--rounds", type=int, default=5, help="how often they do")
    parser.add_argument("--chunks", type=int, default=120, help=f"of {CHUNK:,} items each, of one job")
    page.add_options(parser)
    return parser


if __name__ == "__main__":
    main()

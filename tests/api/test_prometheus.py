"""A real Prometheus reads a real server, over a restart of the server."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from urllib.parse import urlsplit

import httpx
import pytest
from server_harness import a_key, running, until

from mulligan.core.submission import NewItem
from mulligan.testing.factories import a_definition
from mulligan.testing.harness import Harness

PROMETHEUS = which("prometheus")
ADD = a_definition("add", retries=1)
CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: mulligan
    authorization: {{credentials: {key}}}
    static_configs: [{{targets: ["{target}"]}}]
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def prometheus(folder: Path, target: str, key: str) -> Iterator[str]:
    """Have a Prometheus read a server; yields its address."""
    config, port = folder / "prometheus.yml", free_port()
    config.write_text(CONFIG.format(key=key, target=target))
    given = {"config.file": config, "storage.tsdb.path": folder / "data", "web.listen-address": f"127.0.0.1:{port}"}
    command = [str(PROMETHEUS), *(f"--{name}={value}" for name, value in given.items())]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def value(url: str, query: str) -> float | None:
    """Return what Prometheus says that an expression is, None while it knows nothing."""
    try:
        found = httpx.get(f"{url}/api/v1/query", params={"query": query}).json()
    except (httpx.TransportError, ValueError):
        return None
    rows = found.get("data", {}).get("result", [])
    return float(rows[0]["value"][1]) if rows else None


@pytest.mark.skipif(PROMETHEUS is None, reason="Debian's package prometheus is not installed")
def test_prometheus_reads_a_server_and_sees_no_counter_go_back_over_its_restart(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    with Harness(str(tmp_path / "store.db")) as world:
        world.submit(ADD, [NewItem(str(number), "{}") for number in range(5)])
        worker = world.worker(ADD)
        for item in worker.claim(5):
            worker.succeed(item)
    key, port = a_key(store, "viewer", "prometheus"), str(free_port())
    total = 'sum(mulligan_work_items_ended_total{pipeline="add"})'
    with running(store, tmp_path, "server", port=port) as server, prometheus(tmp_path, urlsplit(server.url).netloc, key) as url:
        until(lambda: value(url, total) == 5, "what has ended")
        assert value(url, "mulligan_supervisor_last_tick_timestamp_seconds")
        server.process.terminate()
        until(lambda: value(url, 'up{job="mulligan"}') == 0, "that the server is away")
        with running(store, tmp_path, "server", port=port):
            until(lambda: value(url, 'up{job="mulligan"}') == 1, "that it is back")
            assert value(url, total) == 5
            assert value(url, "resets(mulligan_work_items_ended_total[1m])") == 0

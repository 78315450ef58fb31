"""Serving the API: where it listens, what it refuses to start without, starting and stopping."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from mulligan.core.errors import ConfigError

STARTS_S = 10.0
DRAINS_S = 5
"""Requests that run when it is stopped have so long to be answered."""
STOPS_S = DRAINS_S + 5.0
BACKLOG = 1_024
DEAF_MS = 30_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where the API is served; without a certificate in the clear."""

    host: str
    port: int
    certificate: str = ""
    key: str = ""
    behind_proxy: bool = False
    metrics_open: bool = False

    def check(self, any_key: Callable[[], bool]) -> None:
        """Raise ConfigError where others than this machine could reach what is not guarded, or a file is not there."""
        for name, file in (("tls_certificate", self.certificate), ("tls_key", self.key)):
            if file and not Path(file).is_file():
                raise ConfigError(f"{name}: there is no file {file}")
        if bool(self.certificate) is not bool(self.key):
            raise ConfigError("tls_certificate and tls_key: give both, or neither")
        if self.metrics_open and (self.behind_proxy or not self.is_loopback):
            raise ConfigError(
                "metrics_open: other machines could read /metrics without a key; serve 127.0.0.1 without a proxy, or make a key "
                "for Prometheus with `mulligan keys create --name prometheus --role viewer`"
            )
        if self.is_loopback:
            return
        if not self.certificate and not self.behind_proxy:
            raise ConfigError(
                f"host {self.host!r} is reached by other machines, and keys would travel in the clear: set tls_certificate and "
                "tls_key, or --behind-proxy where a proxy does TLS, or serve 127.0.0.1"
            )
        if not any_key():
            raise ConfigError(
                f"host {self.host!r} is reached by other machines, and there is no key yet: "
                "make one with `mulligan keys create --name NAME --role admin`"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether this machine alone can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def names(self) -> list[str]:
        """The address as browsers write it, where it is one."""
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return [self.host]
        if address.is_unspecified:
            return []
        return [f"[{address}]" if address.version == 6 else str(address)]


class ApiServer:
    """Serves an application in a thread. Start, stop; both are safe to call twice."""

    def __init__(self, app: ASGIApp, place: Place, before_stop: Callable[[], None] = lambda: None) -> None:
        """`before_stop` ends what else would go on for as long as its client likes, such as streams."""
        self._place = place
        self._before_stop = before_stop
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,  # whoever asks may write them
            server_header=False,
            date_header=True,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=DRAINS_S,
            h11_max_incomplete_event_size=65_536,
            backlog=BACKLOG,
            ssl_certfile=place.certificate or None,
            ssl_keyfile=place.key or None,
        )
        try:
            config.load()
        except OSError as error:
            raise ConfigError(f"tls_certificate, tls_key: they cannot be used: {error}") from error
        self._server = uvicorn.Server(config)
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it is reached, once it has started."""
        assert self._socket is not None, "not started"  # noqa: S101 - a mistake of ours
        host, port = self._socket.getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if self._place.certificate else 'http'}://{host}:{port}"

    def bind(self, *, or_any_port: bool = False) -> None:
        """Take the address; raises ConfigError where somebody else has it. `or_any_port`: then take any other port."""
        if self._socket is not None:
            return
        place = self._place
        try:
            self._socket = _bound(place.host, place.port)
        except OSError as error:
            if not or_any_port:
                raise ConfigError(
                    f"host {place.host!r}, port {place.port} cannot be served: {error.strerror or error}"
                ) from error
            self._socket = _bound(place.host, 0)

    def start(self) -> None:
        """Serve until stopped; returns once requests are answered."""
        self.bind()
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._run, name="mulligan api", daemon=True)
        self._thread.start()
        pause = threading.Event()
        for _ in range(round(STARTS_S / 0.01)):
            if self._server.started or not self._thread.is_alive():
                break
            pause.wait(0.01)
        if not self._server.started:
            raise ConfigError(f"the API did not start at {self.url}")

    def stop(self) -> None:
        """Take no more requests, answer those that are there, and end."""
        self._before_stop()
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(STOPS_S)
        if self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket] if self._socket is not None else None)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, since asyncio sends at once (TCP_NODELAY) only where a socket says that it is: else each answer takes 40 ms.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # who reads nothing any more does not hold what it was sent for ever
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAF_MS)
        made.bind((host, port))
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    made.set_inheritable(False)
    return made

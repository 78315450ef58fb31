"""What lies beside a SQLite store: a lock for each living worker, and sockets by which processes wake each other up."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import uuid
from pathlib import Path

from mulligan.core.errors import StoreError
from mulligan.store.interface import Audience

_LONGEST = 100
"""Paths of Unix sockets may have 107 bytes at most; a longer one is reached through the folder's descriptor."""


class SqlitePresence:
    """The folder beside a store. Locks tell who is alive; sockets only hint that it is worth looking."""

    certain = True
    """The kernel frees a lock when its process is dead, and never before."""

    def __init__(self, store: str) -> None:
        self.folder = Path(f"{store}.d")
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0))
        self._sender.setblocking(False)

    def lock(self, instance: str) -> WorkerLock:
        """Take the lock of a worker instance; the kernel frees it when the process dies."""
        self._remake()
        return WorkerLock(self.folder / f"worker-{instance}.lock")

    def is_free(self, lock: str) -> bool:
        """Return whether it is certain that nobody holds a worker's lock any more.

        Where the file is missing or not ours to open, somebody meddled with the folder: then the heartbeat alone tells.
        """
        try:
            fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True

    def forget(self, lock: str) -> None:
        """Remove the lock of a worker that is lost, unless it still holds it."""
        if self.is_free(lock):
            with contextlib.suppress(OSError):
                Path(lock).unlink()

    def listen(self, audience: Audience) -> Listener:
        """Listen for hints; the listener's `fileno` becomes readable when there is one."""
        self._remake()
        name = f"{audience}-{uuid.uuid4().hex[:12]}.sock"
        return Listener(self._address(name), self.folder / name)

    def wake_workers(self) -> None:
        """Hint to all workers that there is something to do."""
        self._wake("worker")

    def wake_waiters(self) -> None:
        """Hint to all who wait for a job that one has ended."""
        self._wake("waiter")

    def close(self) -> None:
        """Close what is open; safe to call twice."""
        self._sender.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _remake(self) -> None:
        """Make the folder again if somebody has deleted it."""
        if self.folder.is_dir():
            return
        self.folder.mkdir(mode=0o700, exist_ok=True)
        os.close(self._fd)
        self._fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _wake(self, audience: Audience) -> None:
        if self._fd < 0:
            return
        for name in os.listdir(self._fd):  # noqa: PTH208 - through the descriptor, quicker than Path
            if name.startswith(audience) and name.endswith(".sock"):
                self._send(name)

    def _send(self, name: str) -> None:
        try:
            self._sender.sendto(b"!", self._address(name))
        except (ConnectionRefusedError, FileNotFoundError):  # its process is gone
            with contextlib.suppress(OSError):
                (self.folder / name).unlink()
        except OSError:  # its buffer is full: it has hints enough
            pass

    def _address(self, name: str) -> str:
        path = str(self.folder / name)
        return path if len(os.fsencode(path)) <= _LONGEST else f"/proc/self/fd/{self._fd}/{name}"


class WorkerLock:
    """A lock on a file that lives as long as the process that holds it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self, keep_file: bool = False) -> None:
        """Free the lock; safe to call twice. A file that is kept tells others that its worker is dead."""
        if self._fd >= 0:
            if not keep_file:
                with contextlib.suppress(OSError):
                    self.path.unlink()
            os.close(self._fd)
            self._fd = -1


class Listener:
    """A socket that becomes readable when somebody hints."""

    def __init__(self, address: str, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0))
        self._socket.bind(address)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """Return the file descriptor to wait on."""
        return self._socket.fileno()

    def drain(self) -> None:
        """Take all hints."""
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(16):
                pass

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        self._socket.close()


class NoPresence:
    """For a store in memory, which has no neighbours."""

    certain = True

    def lock(self, instance: str) -> WorkerLock:
        """Refuse: tasks run in processes, which cannot see this store."""
        raise StoreError(f"a store in memory has no workers of its own process ({instance}): give it a file")

    def listen(self, audience: Audience) -> None:
        """Hear nothing."""

    def wake_workers(self) -> None:
        """Wake nobody."""

    def wake_waiters(self) -> None:
        """Wake nobody."""

    def is_free(self, lock: str) -> bool:
        """There are no locks to hold."""
        return not lock

    def forget(self, lock: str) -> None:
        """Forget nothing."""

    def close(self) -> None:
        """Close nothing."""

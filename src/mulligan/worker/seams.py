"""What a worker needs of others, as small protocols; the app hands in what fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Hints(Protocol):
    """Something that becomes readable when it is worth looking."""

    def fileno(self) -> int: ...

    def drain(self) -> None: ...

    def close(self) -> None: ...


class Lock(Protocol):
    """The lock by which others see that this worker lives."""

    @property
    def path(self) -> object: ...

    def release(self, keep_file: bool = False) -> None: ...


class Chore(Protocol):
    """Something to be done every so often."""

    @property
    def name(self) -> str: ...

    @property
    def interval_s(self) -> float: ...

    @property
    def run_once(self) -> Callable[[], int]: ...

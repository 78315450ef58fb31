"""What a worker needs of others, as small protocols; the app hands in what fits."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import NamedTuple, Protocol


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


class Answer(NamedTuple):
    """What an attempt's call is answered with, by id of the attempt and number of the call."""

    id: int
    call: int
    value: str | None
    error: str | None


class Chore(Protocol):
    """Something to be done every so often."""

    @property
    def name(self) -> str: ...

    @property
    def interval_s(self) -> float: ...

    @property
    def run_once(self) -> Callable[[], int]: ...


class Waiting(Protocol):
    """How a worker waits until there is something to do."""

    def wait(self, files: Sequence[int], seconds: float) -> Container[int]:
        """Wait until one of the files can be read, somebody calls `wake`, or the time is over; return what can be read."""
        ...

    def wake(self) -> None:
        """End the wait that goes on, or the next one; may be called from a signal or a thread."""
        ...

    def close(self) -> None: ...


class Submitting(Protocol):
    """Stores what running tasks submit."""

    def put(self, id: int, call: int, payload: str, caller: str) -> None: ...

    def take(self) -> Sequence[Answer]: ...

    def close(self) -> None: ...

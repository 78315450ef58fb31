"""What the sdk needs of the rooms above it: somebody who takes submissions, and the channel of a running attempt."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextvars import ContextVar
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar

from mulligan.core.attempt import StopCause
from mulligan.core.job import Counts, JobStatus
from mulligan.core.masking import Known, Mask
from mulligan.core.replay import Past
from mulligan.core.submission import NewCall, Submission

if TYPE_CHECKING:
    from mulligan.core.failure import RuleSet

R = TypeVar("R")


class JobHandle(Protocol[R]):
    """A submitted job, as its submitter holds it; `R` is what one work item returns."""

    @property
    def id(self) -> str: ...
    @property
    def run_id(self) -> str: ...
    @property
    def status(self) -> JobStatus: ...
    @property
    def label(self) -> str: ...
    @property
    def progress(self) -> float:
        """Per cent, from 0 to 100."""
        ...

    @property
    def error_message(self) -> str | None: ...
    @property
    def counts(self) -> Counts: ...
    def refresh(self) -> Self:
        """Read the job again."""
        ...

    def __await__(self) -> Generator[Any, None, R]:
        """Wait in a coroutine for what `result` gives."""
        ...

    def wait(self, timeout: float | None = None, progress: bool | Literal["always"] = False) -> Self:
        """Wait until the job has ended, however it did; raises WaitTimeout after `timeout` seconds."""
        ...

    def result(self) -> R:
        """Wait for the result of the only work item; raises TaskFailed."""
        ...

    def results(self, return_exceptions: bool = False) -> list[R]:
        """Wait for the results of all work items, in their order; raises TaskFailed for the first that failed."""
        ...

    def work_items(self, **filters: Any) -> Sequence[Any]:
        """Return the work items that match."""
        ...

    def cancel(self, *, dry_run: bool = False) -> Any: ...
    def retry(self, type: Literal["recover", "restart"] = "recover", reason: str = "", *, dry_run: bool = False) -> Any: ...
    def retry_now(self, *, dry_run: bool = False) -> Any: ...
    def overwrite(
        self, start: Any = None, end: Any = None, accept_risk: bool = False, forward: bool = False, *, dry_run: bool = False
    ) -> Any: ...


class Backend(Protocol):
    """Takes submissions: a client, or inside a task the channel to the worker."""

    def take(self, submission: Submission) -> Any:
        """Store a submission, all of it or nothing, and return its Job."""
        ...


class Channel(Protocol):
    """A running attempt's line to its worker. Every method may be called from any thread."""

    def call(self, name: Literal["step", "cursor", "submit"], payload: str) -> str:
        """Ask the worker for something and wait for the answer (JSON); raises LeaseLost or another MulliganError."""
        ...

    def progress(self, done: float, total: float) -> None:
        """Tell how far the attempt is; may be thinned out."""
        ...

    def output(self, rows: int) -> None:
        """Tell how many rows the attempt has written so far."""
        ...

    def touch(self) -> None:
        """Tell that the attempt is alive; cheap enough for every call on the context."""
        ...

    def artifacts(self) -> str:
        """Return where artifacts with relative paths lie: an absolute path, or a URL; empty where nobody has said."""
        ...

    def stopping(self) -> StopCause | None:
        """Return why the attempt was asked to stop, or None."""
        ...

    def time_left(self) -> float | None:
        """Return the seconds until this attempt's time limit, or None."""
        ...

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Call back, once and from another thread, when the attempt is asked to stop."""
        ...


class Body(Channel, Protocol):
    """The channel of a workflow's body, which makes calls and waits for them."""

    def make(self, calls: Sequence[NewCall]) -> None:
        """Have calls stored, and started as soon as somebody has room for them."""
        ...

    def wait(self, places: Iterable[str]) -> None:
        """Wait until the calls made at these places have ended; raises Stopped when the attempt is asked to stop."""
        ...

    def ended(self, place: str) -> Past | None:
        """Return the call made at a place if it has ended."""
        ...

    def when_ended(self, place: str, tell: Callable[[], None]) -> None:
        """Call `tell` once, from another thread, when the call made at a place has ended, or at once if it has."""
        ...


class Ambient:
    """Where submissions go when nobody says otherwise. The one piece of process-wide state, set by the package's root."""

    def __init__(self) -> None:
        self.factory: Callable[[], Backend] | None = None
        self.importing: str | None = None
        """The source that is being imported by a worker, while it is: submitting is refused then."""
        self.rules: Callable[[], tuple[RuleSet, RuleSet]] | None = None
        """Gives the project's failure rules and the built-in ones. None where attempts of a worker run: there a task that is
        called is a plain call, whatever thread it is called in."""
        self.mask = Mask()
        """Secret values that were read in this process, or that it was told of: nothing that it says may show them."""
        self.hidden: Callable[[Known], None] | None = None
        """Told of a value before it is given to users' code: in a child of a worker, so that the worker hides it in output."""
        self.reveals = False
        """Whether any thread of this process may read secrets, as in a child of a worker."""
        self._hiding = Lock()

    def masked(self, text: str) -> str:
        """Return a text without the secrets that are known by now."""
        return self.mask.text(text)

    def hide(self, *known: Known) -> None:
        """Have values hidden from here on."""
        new = [each for each in known if each.value not in self.mask]
        if self.hidden is not None:
            for each in new:
                self.hidden(each)
        if new:
            with self._hiding:
                self.mask = self.mask.adding(*new)


AMBIENT = Ambient()
RUNNING: ContextVar[Backend | None] = ContextVar("mulligan_running", default=None)
"""Set while a task's attempt runs: where it submits to."""

"""Errors that Mulligan raises to its callers, each with a stable code; what users' code raises lives in `signals`."""

from __future__ import annotations

from typing import ClassVar


class MulliganError(Exception):
    """Something asked of Mulligan could not be done."""

    code: ClassVar[str] = "error"


class ConfigError(MulliganError):
    """A setting, a policy or an option of a task is not valid."""

    code = "config_invalid"


class PolicyError(ConfigError):
    """A retry policy is not valid."""

    code = "policy_invalid"


class TaskError(MulliganError):
    """A task cannot be declared, loaded or published as it stands."""

    code = "task_invalid"


class UnknownTask(TaskError):
    """No task of this name is known here."""

    code = "task_unknown"


class NameTaken(TaskError):
    """The name belongs to a task of another module."""

    code = "task_name_taken"


class ArgumentsInvalid(MulliganError):
    """The arguments do not fit the task's parameters, or cannot travel as JSON."""

    code = "arguments_invalid"


class ResultInvalid(MulliganError):
    """A result does not fit its type hint, or cannot travel as JSON."""

    code = "result_invalid"


class ValueTooLarge(ArgumentsInvalid):
    """A value is larger than what may travel through the store."""

    code = "value_too_large"


class WindowInvalid(ArgumentsInvalid):
    """A window, or a range that is to be cut into windows, is not valid."""

    code = "window_invalid"


class SecretInClear(MulliganError):
    """A value that would be stored holds a secret in the clear."""

    code = "secret_in_clear"


class SecretUnavailable(MulliganError):
    """A secret cannot be read where it is needed."""

    code = "secret_unavailable"


class NotFound(MulliganError):
    """Nothing has this id."""

    code = "not_found"


class Refused(MulliganError):
    """The state of the job or work item does not allow what was asked."""

    code = "refused"


class RunIdConflict(Refused):
    """The run id belongs to a job with other input."""

    code = "run_id_conflict"


class ChunkGap(Refused):
    """A chunk of a job does not begin where the job ends so far."""

    code = "chunk_gap"


class ChunkConflict(Refused):
    """A chunk of a job that is there already is sent again with something else in it."""

    code = "chunk_conflict"


class OverwriteUnsafe(Refused):
    """Overwriting is not known to be safe and the risk was not accepted."""

    code = "overwrite_unsafe"


class MoreMatch(Refused):
    """More work items match than the asker had seen."""

    code = "more_match"


class SubmitInImport(Refused):
    """A module submitted work while a worker imported it."""

    code = "submit_while_importing"


class ReplayMismatch(Refused):
    """The body of a workflow makes another call than the one that succeeded at this place before."""

    code = "replay_mismatch"


class LeaseLost(MulliganError):
    """The attempt no longer belongs to the worker that speaks for it."""

    code = "lease_lost"


class WorkerUnfit(MulliganError):
    """A worker cannot run its tasks any more: their source files have changed, or its child processes cannot start."""

    code = "worker_unfit"


class StoreError(MulliganError):
    """The store cannot do what was asked of it."""

    code = "store_error"


class StoreForeign(StoreError):
    """The file is not a store of Mulligan."""

    code = "store_foreign"


class StoreNewer(StoreError):
    """The store was made by a newer version of Mulligan."""

    code = "store_newer"


class StoreOlder(StoreError):
    """The store was made by an older version of Mulligan and has to be migrated first."""

    code = "store_older"


class StoreAway(StoreError):
    """The store cannot be reached."""

    code = "store_away"


class StoreUnsure(StoreError):
    """The store went away during a commit: what was asked for may have been stored or not."""

    code = "store_unsure"


class StoreReadOnly(StoreError):
    """The store cannot be written."""

    code = "store_read_only"


class StoreBusy(StoreError):
    """Somebody else held the store for too long."""

    code = "store_busy"


class StoreFull(StoreError):
    """There is no room left for the store."""

    code = "store_full"


class ServerError(MulliganError):
    """A server did not answer as a server of Mulligan does."""

    code = "server_error"


class ServerAway(ServerError):
    """The server cannot be reached, or has not answered in time."""

    code = "server_away"


class Unauthorized(MulliganError):
    """The key is missing, or is not valid (any more)."""

    code = "unauthorized"


class Forbidden(MulliganError):
    """The key may not do this."""

    code = "forbidden"


class ArtifactConflict(MulliganError):
    """What lies where an artifact belongs is of another run, of a later generation, or not what its manifest says."""

    code = "artifact_conflict"


class ArtifactMissing(MulliganError):
    """An artifact is not where it was, or was never written."""

    code = "artifact_missing"


class ArtifactBusy(MulliganError):
    """Somebody else held an artifact's lock for too long."""

    code = "artifact_busy"


class WaitTimeout(MulliganError):
    """The job did not end within the time given to wait for it."""

    code = "wait_timeout"


class TaskFailed(MulliganError):
    """A work item whose result was asked for has failed."""

    code = "task_failed"

    def __init__(self, item_id: str, error_type: str | None, failure_class: str | None, message: str) -> None:
        self.item_id = item_id
        self.error_type = error_type
        self.failure_class = failure_class
        self.message = message
        super().__init__(f"work item {item_id} failed ({failure_class or 'no class'}): {message}")

    def __reduce__(self) -> tuple[type[TaskFailed], tuple[str, str | None, str | None, str]]:
        return TaskFailed, (self.item_id, self.error_type, self.failure_class, self.message)


class TaskCancelled(TaskFailed):
    """A work item whose result was asked for was cancelled."""

    code = "task_cancelled"

    def __init__(self, item_id: str, error_type: str | None, failure_class: str | None, message: str) -> None:
        super().__init__(item_id, error_type, failure_class, message)
        self.args = (f"work item {item_id} was cancelled",)

    def __reduce__(self) -> tuple[type[TaskFailed], tuple[str, str | None, str | None, str]]:
        return TaskCancelled, (self.item_id, self.error_type, self.failure_class, self.message)

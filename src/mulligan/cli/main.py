"""The entry of the command line: what a run ends with, whatever happened in it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from mulligan.core.errors import MulliganError, WindowInvalid
from mulligan.sdk.paths import library_first

FAILED = 1
USAGE = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0 when what was asked for is so, 1 when it is not, 2 when the call makes no sense, 130 after Ctrl-C.
    """
    sys.path[:] = library_first(sys.path)  # whatever PYTHONPATH says: users' files must not pass for a part of it
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError):  # replaced by a test or a notebook
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = _guarded(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has seen enough
        _forget_output()
        return FAILED
    except OSError as error:
        _forget_output()
        return _complain(f"the output could not be written: {error}", "os_error")
    return code


def _guarded(arguments: list[str]) -> int:
    try:
        return _run(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED if end.code else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except MulliganError as error:
        sys.stdout.flush()
        # A range of time is always one that was written in the call.
        return _complain(str(error), error.code, USAGE if isinstance(error, WindowInvalid) else FAILED)
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout.flush()
        return _complain(str(error), "os_error")


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["worker"]:
        # Workers start in the blink of an eye: typer and rich are loaded only where there is help or a complaint to show.
        from mulligan.cli.worker import quick

        code = quick(arguments[1:])
        if code is not None:
            return code
    from mulligan.cli.commands import build

    build()(arguments, prog_name="mulligan")
    return 0


def _complain(message: str, code: str, end: int = FAILED) -> int:
    from mulligan.core.plain import plain

    first, newline, rest = plain(message).partition("\n")
    sys.stderr.write(f"mulligan: {first} ({code}){newline}{rest}\n")
    return end


def _forget_output() -> None:
    """Keep the interpreter's last flush from failing again where nothing can be written."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _open_closed() -> None:
    """Give a process that was started with closed streams somewhere to write."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for as long as the process lives


if __name__ == "__main__":
    sys.exit(main())

"""What an attempt may leave changed in a process that others run in after it, and how that is put back."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import Any

from mulligan.worker.executors.process.line import Line


class Surroundings:
    """Streams, descriptors 1 and 2, folder, environment, umask, `sys.path`, `logging.disable`: as users' modules made them.

    Looking takes microseconds, after each attempt. What users' own modules keep, and threads, is theirs to put in order.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._streams = (sys.stdout, sys.stderr)  # what users' modules made of them at import stays
        self._folder = _folder()
        self._environ = os.environ
        self._live: dict[bytes, bytes] = vars(os.environ)["_data"]  # comparing os.environ itself decodes every variable
        self._variables = dict(self._live)
        self._path = list(sys.path)
        self._disabled = logging.root.manager.disable
        self._umask = os.umask(0)
        os.umask(self._umask)

    def restore(self) -> None:
        """Put back what is not as it was when users' code had been imported."""
        os.dup2(self._line.log, 1)  # doing so costs a fourth of looking
        os.dup2(self._line.log, 2)
        for place, name in enumerate(("stdout", "stderr")):
            found = getattr(sys, name, None)
            if found is not self._streams[place] or found is not self._line.streams[place] or _is_closed(found):
                self._restore_stream(place, name, found)
        if self._folder is not None and _folder() != self._folder:
            with suppress(OSError):
                os.chdir(self._folder)
        os.umask(self._umask)
        if self._live != self._variables or os.environ is not self._environ:
            self._restore_environment()
        if sys.path != self._path:
            sys.path[:] = self._path
        if logging.root.manager.disable != self._disabled:
            logging.disable(self._disabled)

    def _restore_stream(self, place: int, name: str, found: Any) -> None:
        usual = self._streams[place]
        if found is not self._line.streams[place]:
            with suppress(Exception):  # any object at all, and perhaps closed
                found.flush()
        if found is not usual or _is_closed(usual):
            setattr(sys, name, self._line.streams[place] if _is_closed(usual) else usual)

    def _restore_environment(self) -> None:
        os.environ = self._environ  # noqa: B003 - the object that it was; its content follows
        for name in self._live.keys() - self._variables.keys():
            del os.environb[name]
        for name, value in self._variables.items():
            if self._live.get(name) != value:
                os.environb[name] = value


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - a string compares faster
    except OSError:  # removed
        return None


def _is_closed(stream: Any) -> bool:
    try:
        return stream is None or bool(getattr(stream, "closed", False))
    except ValueError:  # detached
        return True

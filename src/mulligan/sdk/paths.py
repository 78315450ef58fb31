"""Where imports look: in the standard library first, so that a file beside users' tasks cannot pass for a part of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

_LIBRARY = os.path.dirname(os.__file__)  # noqa: PTH120 - before anything else is imported


def library_first(paths: Iterable[str]) -> list[str]:
    """Return the folders in which modules are looked for, those of the standard library first, else in the same order."""
    return sorted(paths, key=lambda each: not _is_library(each))


def put_on_path(folder: str) -> None:
    """Have modules of a folder found after those of the standard library and before all that was installed."""
    if folder not in sys.path:
        sys.path[:] = library_first([folder, *sys.path])


def is_library(file: str) -> bool:
    """Return whether a file belongs to the standard library."""
    return file.startswith(_LIBRARY + os.sep) and not is_installed(file)


def is_installed(file: str) -> bool:
    """Return whether a file was put where packages are installed."""
    return f"{os.sep}site-packages{os.sep}" in file or f"{os.sep}dist-packages{os.sep}" in file


def _is_library(folder: str) -> bool:
    name = folder.rpartition(os.sep)[2]
    return folder == _LIBRARY or name == "lib-dynload" or (name.startswith("python3") and name.endswith(".zip"))

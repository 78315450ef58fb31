"""Where an artifact lies: a folder of this machine, or what fsspec reaches. The same few verbs on both, and no policy."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from mulligan.core.errors import ArtifactBusy, ConfigError

MANIFEST = ".manifest.json"
PART = ".part"
LOCK_S = 60.0
"""So long may others hold an artifact's lock: it is held for a few renames, never while something is written or read."""
_BLOCK = 1 << 22
_LOOK_S = 0.01
_WITHOUT_FOLDERS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci"})
"""Protocols of object stores: making a folder there may mean to make a bucket."""


class Content(NamedTuple):
    """What a file holds."""

    sha256: str
    size: int

    def __str__(self) -> str:
        return f"sha256 {self.sha256[:16]}…, {self.size:,} bytes"


class Place(Protocol):
    """One artifact's place: its file, its manifest beside it, and what attempts have staged there."""

    uri: str

    def scratch(self, tag: str) -> Path:
        """Return the local folder that an attempt writes into; it is not made here."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Keep others from changing the place, where that can be had. Raises ArtifactBusy."""
        ...

    def manifest(self) -> bytes | None:
        """Return the manifest, or None."""
        ...

    def create_manifest(self, data: bytes, tag: str) -> bool:
        """Write the manifest if there is none; return whether that was so."""
        ...

    def replace_manifest(self, data: bytes, tag: str) -> None:
        """Write the manifest in place of the one that is there, whole or not at all."""
        ...

    def size(self) -> int | None:
        """Return how many bytes the artifact has; None where there is none."""
        ...

    def content(self, alive: Callable[[], object]) -> Content | None:
        """Read the whole artifact, calling `alive` meanwhile; None where there is none."""
        ...

    def stage(self, file: Path, tag: str) -> str:
        """Make a written file durable at the place, under a name that nobody looks at; return that name."""
        ...

    def has(self, staged: str) -> bool:
        """Return whether something is still staged."""
        ...

    def move(self, staged: str) -> bool:
        """Make what is staged the artifact, whole or not at all; return False where it is not staged any more."""
        ...

    def drop(self, staged: str) -> None:
        """Remove what is staged, if it is."""
        ...

    def tags(self) -> list[str]:
        """Return the tags of all that attempts have left here."""
        ...

    def clear(self, tag: str) -> None:
        """Remove all that an attempt has left."""
        ...

    def fetch(self, folder: Path) -> Path:
        """Return a local file with the content: the artifact itself, or a copy made in a folder."""
        ...


def place_of(uri: str) -> Place:
    """Return the place of an absolute path, a `file:` URL or a URL of fsspec; raises ConfigError where a package is missing."""
    if uri.startswith("file://"):
        return LocalPlace(Path(unquote(urlsplit(uri).path)))
    return ObjectPlace(uri) if "://" in uri else LocalPlace(Path(uri))


def content_of(file: IO[bytes], alive: Callable[[], object] = lambda: None) -> Content:
    """Read an open file to its end."""
    digest, size = hashlib.sha256(), 0
    while block := file.read(_BLOCK):
        digest.update(block)
        size += len(block)
        alive()
    return Content(digest.hexdigest(), size)


class LocalPlace:
    """A file on a file system with locks and atomic renames."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = path.parent
        self._manifest = path.with_name(path.name + MANIFEST)
        self.uri = path.as_uri()

    def scratch(self, tag: str) -> Path:
        return self._folder / f".{self._path.name}.{tag}{PART}"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        # The file stays: removing it would let two hold "the" lock, one of them a file that is there no more.
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._path.with_name(f".{self._path.name}.lock").open("ab") as lock:
            until = time.monotonic() + LOCK_S
            while not _lock(lock):
                if time.monotonic() > until:
                    raise ArtifactBusy(f"{self.uri}: another process has held its lock for {LOCK_S:g} s")
                time.sleep(_LOOK_S)
            yield

    def manifest(self) -> bytes | None:
        try:
            return self._manifest.read_bytes()
        except FileNotFoundError:
            return None

    def create_manifest(self, data: bytes, tag: str) -> bool:
        try:
            self._manifest.hardlink_to(self._written(data, tag))
        except FileExistsError:
            return False
        _sync(self._folder)
        return True

    def replace_manifest(self, data: bytes, tag: str) -> None:
        self._written(data, tag).replace(self._manifest)
        _sync(self._folder)

    def size(self) -> int | None:
        try:
            return self._path.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def content(self, alive: Callable[[], object]) -> Content | None:
        try:
            with self._path.open("rb") as file:
                return content_of(file, alive)
        except FileNotFoundError:
            return None

    def stage(self, file: Path, tag: str) -> str:  # noqa: ARG002 - it was written where it is staged
        _sync(file)
        _sync(file.parent)
        return str(file.relative_to(self._folder))

    def has(self, staged: str) -> bool:
        return (self._folder / staged).is_file()

    def move(self, staged: str) -> bool:
        try:
            (self._folder / staged).replace(self._path)
        except FileNotFoundError:
            return False
        _sync(self._folder)
        return True

    def drop(self, staged: str) -> None:
        (self._folder / staged).unlink(missing_ok=True)

    def tags(self) -> list[str]:
        return _tags((each.name for each in self._folder.iterdir()), self._path.name)

    def clear(self, tag: str) -> None:
        shutil.rmtree(self.scratch(tag), ignore_errors=True)

    def fetch(self, folder: Path) -> Path:  # noqa: ARG002 - it is here already
        return self._path

    def _written(self, data: bytes, tag: str) -> Path:
        """Return a file that is whole and durable, for its name to be given."""
        file = self.scratch(tag) / self._manifest.name
        file.write_bytes(data)
        _sync(file)
        return file


class ObjectPlace:
    """An object of a store that fsspec speaks to: written whole by a put, moved by a copy of the store's own."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        # Others change it meanwhile, so what a listing once said counts for nothing.
        self._fs, self._path = _file_system(uri)
        self._folder, _, self._name = self._path.rpartition("/")
        self._manifest = self._path + MANIFEST

    def scratch(self, tag: str) -> Path:
        return Path(tempfile.gettempdir()) / f"mulligan.{tag}{PART}"

    def locked(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def manifest(self) -> bytes | None:
        try:
            data: bytes = self._fs.cat_file(self._manifest)
        except FileNotFoundError:
            return None
        return data

    def create_manifest(self, data: bytes, tag: str) -> bool:  # noqa: ARG002
        self._make_folder()
        try:
            self._fs.pipe_file(self._manifest, data, mode="create")
        except FileExistsError:
            return False
        return True

    def replace_manifest(self, data: bytes, tag: str) -> None:  # noqa: ARG002
        self._fs.pipe_file(self._manifest, data)

    def size(self) -> int | None:
        try:
            return int(self._fs.info(self._path)["size"])
        except FileNotFoundError:
            return None

    def content(self, alive: Callable[[], object]) -> Content | None:
        try:
            with self._fs.open(self._path, "rb") as file:
                return content_of(file, alive)
        except FileNotFoundError:
            return None

    def stage(self, file: Path, tag: str) -> str:
        staged = f".{self._name}.{tag}{PART}"
        self._make_folder()
        self._fs.put_file(str(file), f"{self._folder}/{staged}")
        return staged

    def has(self, staged: str) -> bool:
        return bool(self._fs.isfile(f"{self._folder}/{staged}"))

    def move(self, staged: str) -> bool:
        source = f"{self._folder}/{staged}"
        try:
            self._fs.cp_file(source, self._path)
        except FileNotFoundError:
            return False
        self.drop(staged)
        return True

    def drop(self, staged: str) -> None:
        with suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._folder}/{staged}")

    def tags(self) -> list[str]:
        try:
            listed = self._fs.ls(self._folder, detail=False)
        except FileNotFoundError:
            listed = []
        names = [str(each).rpartition("/")[2] for each in listed]
        local = [f".{self._name}.{each.name[9:]}" for each in Path(tempfile.gettempdir()).glob(f"mulligan.*{PART}")]
        return _tags(iter([*names, *local]), self._name)

    def clear(self, tag: str) -> None:
        shutil.rmtree(self.scratch(tag), ignore_errors=True)
        self.drop(f".{self._name}.{tag}{PART}")

    def fetch(self, folder: Path) -> Path:
        copy = folder / self._name
        unfinished = folder / f".{self._name}.{os.getpid()}.{os.urandom(4).hex()}{PART}"
        try:
            self._fs.get_file(self._path, str(unfinished))
            unfinished.replace(copy)
        finally:
            unfinished.unlink(missing_ok=True)
        return copy

    def _make_folder(self) -> None:
        names = self._fs.protocol
        if _WITHOUT_FOLDERS.isdisjoint([names] if isinstance(names, str) else names):
            self._fs.makedirs(self._folder, exist_ok=True)


def _tags(names: Iterator[str], name: str) -> list[str]:
    start = f".{name}."
    return sorted({each[len(start) : -len(PART)] for each in names if each.startswith(start) and each.endswith(PART)})


def _file_system(uri: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise ConfigError(f"{uri}: artifacts at URLs need fsspec: pip install 'mulligan[fsspec]'") from None
    try:
        file_system, path = url_to_fs(uri, use_listings_cache=False)
    except (ImportError, ValueError) as error:  # it names the package, or the protocol that it does not know
        raise ConfigError(f"{uri}: fsspec cannot open this URL: {error}") from error
    return file_system, str(path)


def _lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Artifact: what travels instead of data that is too large to travel; and how it is named, by paths with placeholders."""

from __future__ import annotations

import hashlib
import json
import os
import string
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, Any, ClassVar
from urllib.parse import quote

from pydantic import ConfigDict, Field

from mulligan.core.errors import ArgumentsInvalid, ArtifactConflict, ArtifactMissing, ConfigError
from mulligan.core.shown import shown
from mulligan.sdk.places import MANIFEST, Content, content_of, place_of

_LONGEST = 120
_FIELDS = {"uri", "sha256", "size"}


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that was published and will not change: where it is, and what is in it. An argument or a result like any value."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    uri: Annotated[str, Field(min_length=1)]
    """A `file:` URL, or one that fsspec knows, such as `s3://bucket/models/7/model.bin`."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0)]
    """Bytes."""

    def fetch(self, folder: str | os.PathLike[str] | None = None) -> Path:
        """Return the path of a local file with the content, verified: of a local artifact the file itself, not to be written.

        Of another one a copy, made in `folder`, or in a folder for this content under the system's temporary one, where it
        is found again. Raises ArtifactMissing, and ArtifactConflict where the content is not what it was.
        """
        if folder is None:
            folder = _own_folder() / self.sha256
        copy = Path(folder) / PurePosixPath(self.uri).name
        if not self.uri.startswith("file://"):
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            if copy.is_file() and self._read(copy) == self._content:
                return copy
        try:
            file = place_of(self.uri).fetch(Path(folder))
            found = self._read(file)
        except FileNotFoundError:
            raise ArtifactMissing(f"{self.uri} is not there; it was published with {self._content}") from None
        if found != self._content:
            raise ArtifactConflict(f"{self.uri} was published with {self._content}, and holds {found}")
        return file

    def open(self) -> IO[bytes]:
        """Return the content, verified, as a binary file to read; raises as `fetch` does."""
        return self.fetch().open("rb")

    @property
    def _content(self) -> Content:
        return Content(self.sha256, self.size)

    def _read(self, file: Path) -> Content:
        with file.open("rb") as opened:
            return content_of(opened)


def lost(saved: str) -> str | None:
    """Say which artifact that a saved value names is not there any more, or is another one by now; None where all are there.

    Looks at sizes and manifests, not at all the bytes. Raises what the store of the artifact raises when it cannot be asked.
    """
    if '"sha256"' not in saved:
        return None
    return next((why for each in _named(json.loads(saved)) if (why := _lost(each))), None)


def digests(inputs: Mapping[str, Any] | list[Any] | tuple[Any, ...]) -> dict[str, dict[str, Any]]:
    """Return what a manifest says of inputs: of artifacts where and what they are, of other values a digest of their JSON."""
    from mulligan.sdk.values import dump_any

    if not isinstance(inputs, (Mapping, list, tuple)):
        raise ArgumentsInvalid(f"artifact: inputs are a list or a mapping of artifacts and values, not {shown(inputs)}")
    pairs = inputs.items() if isinstance(inputs, Mapping) else enumerate(inputs)
    said: dict[str, dict[str, Any]] = {}
    for name, value in pairs:
        if isinstance(value, Artifact):
            said[str(name)] = {"uri": value.uri, "sha256": value.sha256, "size": value.size}
        else:
            text = dump_any(value, f"artifact: input {name!r}")
            said[str(name)] = {"sha256": hashlib.sha256(text.encode()).hexdigest()}
    return said


def locate(path: str, root: str, names: Mapping[str, str | None]) -> str:
    """Return the absolute path or URL of an artifact; `names` are the placeholders, None where one has no value here.

    A value becomes one part of the path at most: what could be more is escaped with `%`. Raises ArgumentsInvalid for a path
    that is none, names something else, or leads out of `root`; ConfigError where a relative path has no root.
    """
    if not isinstance(path, str) or not path.strip() or not path.isprintable():
        raise ArgumentsInvalid(f"artifact: expected a path such as 'models/{{run_id}}/model.bin', not {shown(path)}")
    filled = "".join(_filled(path, names))
    _, separator, rest = filled.rpartition("://")
    parts = PurePosixPath(rest).parts
    if ".." in parts or not parts or rest.endswith("/") or parts[-1].endswith(MANIFEST):
        raise ArgumentsInvalid(
            f"artifact {shown(path)}: a path names a file, holds no '..', and does not end with {MANIFEST}, which is beside it"
        )
    if separator or rest.startswith("/"):
        return filled
    if not root:
        raise ConfigError(f"artifact {shown(path)}: the path is relative, and no setting `artifacts` says where to")
    if "://" in root:
        return f"{root.rstrip('/')}/{'/'.join(parts)}"
    target = Path(root, *parts)
    if not target.parent.resolve().is_relative_to(Path(root).resolve()):
        raise ArgumentsInvalid(f"artifact {shown(path)}: a link leads out of {root}")
    return str(target)


def _own_folder() -> Path:
    """The folder of copies, which nobody else may write into: a copy is verified when it is asked for, not when it is read."""
    folder = Path(tempfile.gettempdir()) / f"mulligan-artifacts-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise ConfigError(f"{folder} belongs to somebody else: name another folder to fetch artifacts to")
    return folder


def _filled(path: str, names: Mapping[str, str | None]) -> Iterator[str]:
    try:
        pieces = list(string.Formatter().parse(path))
    except ValueError as error:
        raise ArgumentsInvalid(f"artifact {shown(path)}: {error}; write {{{{ and }}}} for braces") from None
    for literal, name, form, conversion in pieces:
        yield literal
        if name is None:
            continue
        if name not in names or form or conversion:
            known = ", ".join(f"{{{each}}}" for each in sorted(names))
            raise ArgumentsInvalid(f"artifact {shown(path)}: there is no placeholder {{{name}}}; there are {known}")
        value = names[name]
        if value is None:
            raise ArgumentsInvalid(f"artifact {shown(path)}: this work item has no {name}")
        yield _part(value)


def _part(value: str) -> str:
    """One part of a path, different for each value."""
    escaped = quote(value, safe="-_.~=+@,: ")
    if not escaped.strip("."):
        escaped = escaped.replace(".", "%2E")
    if len(escaped) > _LONGEST:
        return f"{escaped[:_LONGEST]}-{hashlib.sha256(value.encode()).hexdigest()[:16]}"
    return escaped


def _named(value: Any) -> Iterator[Artifact]:
    """All artifacts in a value of JSON, whatever type the code reads it as."""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            if each.keys() == _FIELDS and isinstance(each["uri"], str) and len(str(each["sha256"])) == 64:
                yield Artifact(**each)
            pending.extend(each.values())
        elif isinstance(each, list):
            pending.extend(each)


def _lost(artifact: Artifact) -> str | None:
    place = place_of(artifact.uri)
    size = place.size()
    if size is None:
        return f"{artifact.uri} is not there"
    if size != artifact.size:
        return f"{artifact.uri} has {size:,} bytes, and had {artifact.size:,}"
    manifest = place.manifest()
    if manifest is not None and artifact.sha256.encode() not in manifest:
        return f"{artifact.uri} was replaced: its manifest does not name sha256 {artifact.sha256[:16]}…"
    return None

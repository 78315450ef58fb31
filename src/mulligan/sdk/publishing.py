"""Publishing an artifact: at most one version, whoever is killed or late. The manifest is written first, and decides.

What an attempt has written is staged beside its place, and made durable. Then the manifest says which content is to be
there and where it is staged, and then that is moved. Whoever finds a manifest whose content was not moved yet moves it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from mulligan.core.errors import ArtifactConflict, ArtifactMissing, Refused
from mulligan.sdk.artifacts import Artifact
from mulligan.sdk.places import Content, Place, content_of, place_of

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_LOOKS = 20


class Maker(NamedTuple):
    """The attempt that publishes."""

    run_id: str
    key: str
    item: str
    """Job and number of the work item."""
    identity: str
    """The same in every attempt and generation of the item, and of no other one."""
    keep_from: int
    """What was made in this generation or later ones counts as made by this run."""
    generation: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the file beside an artifact says of it."""

    run_id: str
    key: str
    item: str
    generation: int
    """The first one of those that share this artifact: a restart and an overwrite begin a new one, recover does not."""
    sha256: str
    size: int
    inputs: dict[str, dict[str, Any]]
    staged: str
    """Where the content lay before it was moved: tells also one attempt's manifest from another's."""

    @property
    def content(self) -> Content:
        return Content(self.sha256, self.size)

    def to_json(self) -> bytes:
        """Return it as people can read it."""
        return json.dumps(asdict(self), indent=1).encode() + b"\n"


class Publishing:
    """A place to publish to, for the time of a `with` or an `async with`; see `Context.artifact`."""

    def __init__(
        self,
        uri: str,
        maker: Maker,
        inputs: dict[str, dict[str, Any]],
        alive: Callable[[], object],
        log: FilteringBoundLogger,
    ) -> None:
        self._uri = uri
        self._maker = maker
        self._inputs = inputs
        self._alive = alive
        self._log = log
        self._place: Place | None = None
        self._path: Path | None = None
        self._artifact: Artifact | None = None
        self._exists = False

    @property
    def exists(self) -> bool:
        """Whether this run has made it already, in this attempt's generation; its content was verified."""
        self._entered()
        return self._exists

    @property
    def path(self) -> Path:
        """A local file to write, with the name of the artifact. If it exists already, what is written there is dropped."""
        if self._path is None:
            self._path = self._scratch() / PurePosixPath(self._uri).name
        return self._path

    @property
    def artifact(self) -> Artifact:
        """What was published. Raises Refused before that."""
        if self._artifact is None:
            raise Refused(f"artifact {self._uri}: it is published at the end of the `with` block, and there is none before")
        return self._artifact

    def __enter__(self) -> Self:
        self._place = place_of(self._uri)
        maker = self._maker
        identity = maker.identity[:12]
        self._tag = f"{identity}-{maker.generation}-{maker.attempt}-{_chance()}"
        found = self._found()
        if maker.attempt > 1 or maker.generation > 1:
            self._sweep(identity)
        if found is not None:
            self._exists = True
            self._artifact = self._artifact_of(found)
            if found.inputs != self._inputs:
                self._log.warning("artifact was made of other inputs; restart makes it anew", artifact=self._uri)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        place = self._entered()
        try:
            if error is None and not (self._exists and not self._written()):
                self._alive()
                self._publish(place)
        finally:
            place.clear(self._tag)

    async def __aenter__(self) -> Self:
        import asyncio

        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        import asyncio

        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def _publish(self, place: Place) -> None:
        if self._path is not None and not self._path.parent.is_dir():
            raise self._taken_over()
        if not self._written():
            raise ArtifactMissing(f"artifact {self._uri}: nothing was written to its path, {self.path}")
        with self.path.open("rb") as file:
            content = content_of(file, self._alive)
        maker = self._maker
        mine = Manifest(maker.run_id, maker.key, maker.item, maker.keep_from, *content, self._inputs, "")
        if not self._exists:
            mine = replace(mine, staged=place.stage(self.path, self._tag))
            self._commit(place, mine)
        found = self._found()
        if found is None:
            raise ArtifactMissing(f"artifact {self._uri}: it was removed while it was published")
        if found.content != content:
            self._log.warning(
                "artifact was published before by another attempt of this run, and stays as it is",
                artifact=self._uri,
                published=str(found.content),
                dropped=str(content),
            )
        self._artifact = self._artifact_of(found)

    def _commit(self, place: Place, mine: Manifest) -> None:
        """Have one manifest: this attempt's, or that of another one of this run which was first."""
        for _ in range(_LOOKS):
            with place.locked():
                if not place.has(mine.staged):
                    raise self._taken_over()
                current = self._manifest()
                if current is None:
                    if not place.create_manifest(mine.to_json(), self._tag):
                        continue
                elif current.generation == mine.generation and (place.move(current.staged) or place.size() is not None):
                    return
                else:
                    place.drop(current.staged)  # whoever is about to move it shall not find it
                    place.replace_manifest(mine.to_json(), self._tag)
                place.move(mine.staged)
            if self._manifest() == mine:
                return
        raise ArtifactConflict(f"artifact {self._uri}: others have published it again and again meanwhile")

    def _found(self) -> Manifest | None:
        """Return the manifest of what this run has made, its content verified; None where it is still to be made."""
        place = self._entered()
        for _ in range(_LOOKS):
            with place.locked():
                manifest = self._manifest()
                if manifest is None or manifest.generation < self._maker.keep_from:
                    return None
                place.move(manifest.staged)
            content = place.content(self._alive)
            if content == manifest.content:
                return manifest
            if self._manifest() == manifest:
                if content is None:
                    return None
                raise ArtifactConflict(f"artifact {self._uri}: its manifest says {manifest.content}, its file holds {content}")
        raise ArtifactConflict(f"artifact {self._uri}: others publish it again and again meanwhile")

    def _manifest(self) -> Manifest | None:
        """Return the manifest that is there; raises ArtifactConflict where it is none that this attempt may replace."""
        place, maker = self._entered(), self._maker
        data = place.manifest()
        if data is None:
            size = place.size()
            if size is not None and place.manifest() is None:
                raise ArtifactConflict(
                    f"artifact {self._uri}: a file of {size:,} bytes is there without a manifest, so it is of no run; "
                    "move it away, or publish to another path"
                )
            return None
        try:
            manifest = _checked(Manifest(**json.loads(data)))
        except (ValueError, TypeError) as error:
            raise ArtifactConflict(f"artifact {self._uri}: its manifest cannot be read: {error}") from error
        theirs, ours = (f"{each.item} ({each.key}) of run {each.run_id}" for each in (manifest, maker))
        if theirs != ours:
            raise ArtifactConflict(
                f"artifact {self._uri}: it is of work item {theirs}, and this is {ours}; "
                "put {run_id}, and where a job has several items {key}, into the path"
            )
        if manifest.generation > maker.keep_from:
            raise ArtifactConflict(
                f"artifact {self._uri}: it is of generation {manifest.generation}, "
                f"and this attempt of generation {maker.keep_from} comes too late"
            )
        return manifest

    def _taken_over(self) -> ArtifactConflict:
        return ArtifactConflict(f"artifact {self._uri}: a later attempt has taken over, and removed what this one had written")

    def _sweep(self, identity: str) -> None:
        """Remove what earlier attempts of this item have left: they are dead, or come too late."""
        place = self._entered()
        with place.locked():
            for tag in place.tags():
                of, *numbers = tag.split("-")
                if of == identity and tuple(map(int, numbers[:2])) < (self._maker.generation, self._maker.attempt):
                    place.clear(tag)

    def _scratch(self) -> Path:
        folder = self._entered().scratch(self._tag)
        folder.mkdir(mode=0o777 if self._uri.startswith("/") else 0o700, parents=True)
        return folder

    def _written(self) -> bool:
        return self._path is not None and self._path.is_file()

    def _artifact_of(self, manifest: Manifest) -> Artifact:
        return Artifact(self._entered().uri, manifest.sha256, manifest.size)

    def _entered(self) -> Place:
        if self._place is None:
            raise Refused(f"artifact {self._uri}: use it in a `with` block")
        return self._place


def _checked(manifest: Manifest) -> Manifest:
    if manifest.staged.startswith("/") or ".." in PurePosixPath(manifest.staged).parts:
        raise ValueError(f"staged at {manifest.staged!r}")
    return manifest


def _chance() -> str:
    import secrets

    return secrets.token_hex(4)

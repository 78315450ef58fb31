"""Artifacts: published once for each run, whoever races, is late or is killed; on a disk, in memory, and in S3."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from in_memory import KeepingChannel

from mulligan import Artifact, Context, task
from mulligan.config.settings import load_settings
from mulligan.core.errors import (
    ArgumentsInvalid,
    ArtifactConflict,
    ArtifactMissing,
    ConfigError,
    Refused,
    ResultInvalid,
)
from mulligan.core.signals import Stopped
from mulligan.sdk import places
from mulligan.sdk.artifacts import lost
from mulligan.sdk.places import place_of
from s3_server import S3Server

PATH = "models/{run_id}/model.bin"
DAY_MS = 86_400_000
Roots = Callable[[str], str]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(params=["disk", "memory", "s3"])
def channel(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeepingChannel:
    """The line of an attempt whose artifacts lie in one of three kinds of places, all of them empty."""
    made = KeepingChannel()
    monkeypatch.setattr(places.tempfile, "gettempdir", lambda: str(tmp_path))
    if request.param == "disk":
        made.root = str(tmp_path / "artifacts")
    elif request.param == "memory":
        made.root = f"memory://{tmp_path.name}"
    else:
        server: S3Server = request.getfixturevalue("s3")
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        made.root = f"{server.bucket()}/artifacts"
    return made


@pytest.fixture
def on_disk(tmp_path: Path) -> KeepingChannel:
    made = KeepingChannel()
    made.root = str(tmp_path / "artifacts")
    return made


def context(channel: KeepingChannel, attempt: int = 1, **changes: Any) -> Context:
    return Context(channel.info(attempt, **changes), channel)


def publish(channel: KeepingChannel, text: str, attempt: int = 1, path: str = PATH, **changes: Any) -> Artifact:
    with context(channel, attempt, **changes).artifact(path) as a:
        a.path.write_text(text)
    return a.artifact


def read(artifact: Artifact) -> str:
    with artifact.open() as file:
        return file.read().decode()


def there(channel: KeepingChannel, run_id: str = "nightly") -> Any:
    return place_of(f"{channel.root}/models/{run_id}/model.bin")


def manifest(channel: KeepingChannel) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(there(channel).manifest())
    return found


def test_what_was_written_is_published_with_a_manifest_beside_it(channel: KeepingChannel) -> None:
    source = publish(channel, "rows", path="data/{run_id}.csv")
    with context(channel).artifact(PATH, inputs={"data": source, "depth": 5}) as a:
        assert not a.exists
        assert a.path.name == "model.bin"
        a.path.write_text("model")
    assert read(a.artifact) == "model"
    assert a.artifact.uri.endswith("/models/nightly/model.bin")
    said = manifest(channel)
    assert (said["run_id"], said["key"], said["item"], said["generation"]) == ("nightly", "2024-03-07", "7-3", 1)
    assert (said["sha256"], said["size"]) == (a.artifact.sha256, 5)
    assert said["inputs"]["data"] == {"uri": source.uri, "sha256": source.sha256, "size": 4}
    assert said["inputs"]["depth"].keys() == {"sha256"}
    assert there(channel).tags() == []


def test_a_second_attempt_finds_what_the_first_has_made_and_keeps_it(channel: KeepingChannel) -> None:
    first = publish(channel, "first")
    with context(channel, 2).artifact(PATH) as a:
        assert a.exists
        assert a.artifact == first
    assert publish(channel, "second", 3) == first
    assert read(first) == "first"


def test_a_recover_keeps_it_and_a_restart_replaces_it(channel: KeepingChannel) -> None:
    first = publish(channel, "first")
    with context(channel, generation=2, keep_from=1).artifact(PATH) as a:
        assert a.exists
    assert publish(channel, "anew", generation=3, keep_from=3) != first
    assert there(channel).content(lambda: None)[1] == len("anew")
    assert manifest(channel)["generation"] == 3


def test_nothing_is_published_when_the_block_fails_or_the_attempt_was_asked_to_stop(channel: KeepingChannel) -> None:
    with pytest.raises(ZeroDivisionError), context(channel).artifact(PATH) as a:
        print(1 / (a.path.write_text("half") - 4))
    with pytest.raises(Stopped), context(channel).artifact(PATH) as b:
        _written_too_late(channel, b.path)
    assert there(channel).size() is None
    assert there(channel).manifest() is None
    assert there(channel).tags() == []


def _written_too_late(channel: KeepingChannel, path: Path) -> None:
    path.write_text("late")
    channel.cause = "cancel"


def test_of_attempts_that_race_exactly_one_publishes_and_all_agree_on_it(channel: KeepingChannel) -> None:
    start = threading.Barrier(6)

    def race(number: int) -> Artifact:
        with context(channel).artifact(PATH) as a:
            a.path.write_text(f"of racer {number}")
            start.wait(30)
        return a.artifact

    with ThreadPoolExecutor(6) as pool:
        published = set(pool.map(race, range(6)))
    assert len(published) == 1
    assert read(published.pop()).startswith("of racer")


def test_an_attempt_that_comes_late_does_not_replace_what_a_later_one_has_published(channel: KeepingChannel) -> None:
    late = context(channel, 1).artifact(PATH).__enter__()
    late.path.write_text("late")
    kept = publish(channel, "kept", 2)
    with pytest.raises(ArtifactConflict, match="later attempt has taken over"):
        late.__exit__(None, None, None)
    assert read(kept) == "kept"


def test_an_attempt_of_an_earlier_generation_does_not_replace_a_later_one(channel: KeepingChannel) -> None:
    late = context(channel).artifact(PATH).__enter__()
    late.path.write_text("late")
    kept = publish(channel, "kept", generation=2, keep_from=2)
    with pytest.raises(ArtifactConflict):
        late.__exit__(None, None, None)
    assert read(kept) == "kept"
    with pytest.raises(ArtifactConflict, match="generation 2, and this attempt of generation 1"), context(channel).artifact(PATH):
        pass


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"run_id": "other"}, r"7-3 \(2024-03-07\) of run nightly, and this is 7-3 \(2024-03-07\) of run other"),
        ({"number": 4, "key": "x"}, r"7-3 \(2024-03-07\) of run nightly, and this is 7-4 \(x\) of run nightly"),
    ],
)
def test_what_another_run_or_item_has_made_is_refused_and_both_are_named(
    channel: KeepingChannel, changes: dict[str, Any], said: str
) -> None:
    kept = publish(channel, "kept", path="models/model.bin")
    with pytest.raises(ArtifactConflict, match=said):
        publish(channel, "other", path="models/model.bin", **changes)
    assert read(kept) == "kept"


def test_content_that_is_not_what_the_manifest_says_is_refused_and_both_are_told(on_disk: KeepingChannel) -> None:
    artifact = publish(on_disk, "right")
    artifact.fetch().write_text("wrong!")
    said = rf"manifest says sha256 {artifact.sha256[:16]}…, 5 bytes, its file holds sha256 \w+…, 6 bytes"
    with pytest.raises(ArtifactConflict, match=said), context(on_disk, 2).artifact(PATH):
        pass
    with pytest.raises(ArtifactConflict, match=r"published with .* 5 bytes, and holds .* 6 bytes"):
        artifact.open()


def test_a_file_that_no_run_has_made_is_not_replaced(on_disk: KeepingChannel) -> None:
    file = Path(on_disk.root, "models", "nightly", "model.bin")
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    with pytest.raises(ArtifactConflict, match="4 bytes is there without a manifest"):
        publish(on_disk, "theirs")
    assert file.read_text() == "mine"


def test_what_was_removed_by_hand_is_made_anew(on_disk: KeepingChannel) -> None:
    gone = publish(on_disk, "gone")
    gone.fetch().unlink()
    with pytest.raises(ArtifactMissing):
        gone.fetch()
    assert read(publish(on_disk, "anew", 2)) == "anew"


def test_a_block_that_writes_nothing_is_an_error(on_disk: KeepingChannel) -> None:
    with pytest.raises(ArtifactMissing, match="nothing was written"), context(on_disk).artifact(PATH) as a:
        pass
    with pytest.raises(Refused, match="there is none before"):
        _ = a.artifact


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("models/{model}.bin", r"no placeholder \{model\}; there are \{key\}, \{run_id\}, \{window\}"),
        ("models/{window}.bin", "this work item has no window"),
        ("models/{run_id.bin", "write {{ and }} for braces"),
        ("../model.bin", "holds no '..'"),
        ("models/../../model.bin", "holds no '..'"),
        ("models/", "names a file"),
        ("model.bin.manifest.json", "does not end with .manifest.json"),
        ("", "expected a path"),
        (7, "expected a path"),
    ],
)
def test_a_path_that_makes_no_sense_is_refused_in_words(on_disk: KeepingChannel, path: Any, said: str) -> None:
    with pytest.raises(ArgumentsInvalid, match=said):
        context(on_disk).artifact(path)


def test_a_link_that_leads_out_of_the_root_is_refused(on_disk: KeepingChannel, tmp_path: Path) -> None:
    Path(on_disk.root).mkdir()
    Path(on_disk.root, "models").symlink_to(tmp_path)
    with pytest.raises(ArgumentsInvalid, match="a link leads out"):
        publish(on_disk, "x", path="models/model.bin")


@pytest.mark.parametrize(
    ("key", "part"), [("a/b", "a%2Fb"), ("..", "%2E%2E"), ("2024-03-07T06:00", "2024-03-07T06:00"), ("é%", "%C3%A9%25")]
)
def test_a_placeholder_is_one_part_of_the_path_whatever_it_holds(on_disk: KeepingChannel, key: str, part: str) -> None:
    artifact = publish(on_disk, "x", path="{key}/{run_id}", key=key)
    assert artifact.fetch() == Path(on_disk.root, part, "nightly")


def test_a_long_key_is_cut_and_stays_different_from_others(on_disk: KeepingChannel) -> None:
    one, two = (publish(on_disk, "x", path="{key}", key="k" * 400 + end, number=place) for place, end in enumerate("ab"))
    assert one.uri != two.uri
    assert len(one.fetch().name) < 150


def test_a_window_names_the_path_of_its_artifact(on_disk: KeepingChannel) -> None:
    artifact = publish(on_disk, "x", path="{window}.bin", window=(0, DAY_MS, "UTC"))
    assert artifact.fetch().name == "1970-01-01.bin"


def test_an_absolute_path_and_a_url_need_no_root(tmp_path: Path) -> None:
    channel = KeepingChannel()
    assert publish(channel, "x", path=f"{tmp_path}/a/x.bin").fetch() == tmp_path / "a" / "x.bin"
    assert publish(channel, "y", path=f"file://{tmp_path}/a/y.bin").fetch() == tmp_path / "a" / "y.bin"
    with pytest.raises(ConfigError, match="no setting `artifacts`"):
        publish(channel, "z")


def test_without_fsspec_urls_are_refused_and_paths_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ConfigError, match=r"pip install 'mulligan\[fsspec\]'"):
        publish(KeepingChannel(), "x", path="s3://bucket/x")
    assert publish(KeepingChannel(), "x", path=f"{tmp_path}/x").size == 1


def test_a_missing_package_is_named() -> None:
    with pytest.raises(ConfigError, match="nosuch"):
        place_of("nosuch://bucket/x")


def test_a_copy_of_a_remote_artifact_is_found_again_and_verified(channel: KeepingChannel, tmp_path: Path) -> None:
    artifact = publish(channel, "model")
    copy = artifact.fetch(tmp_path / "copies")
    assert copy.read_text() == "model"
    if not artifact.uri.startswith("file:"):
        copy.write_text("spoilt")
    assert artifact.fetch(tmp_path / "copies").read_text() == "model"


def test_an_artifact_travels_as_argument_and_result(on_disk: KeepingChannel) -> None:
    @task
    def evaluate(model: Artifact, others: list[Artifact]) -> Artifact:
        return model

    artifact = publish(on_disk, "model")
    signature = evaluate.declared.signature
    text = signature.arguments.dump({"model": artifact, "others": [artifact]})
    assert signature.arguments.load(text) == {"model": artifact, "others": [artifact]}
    assert signature.result.load(signature.result.dump(artifact)) == artifact
    with pytest.raises(ArgumentsInvalid, match="sha256"):
        signature.arguments.load(json.dumps({"model": {"uri": "x", "sha256": "short", "size": 1}, "others": []}))
    with pytest.raises(ResultInvalid):
        signature.result.dump({"uri": "x"})


def made(text: str) -> Artifact:
    return publish(_STEPS[0], text, path="steps/{run_id}.bin")


def made_untyped(text: str):  # type: ignore[no-untyped-def]
    return {"model": made(text), "score": 0.5}


async def made_async(text: str) -> Artifact:
    return made(text)


_STEPS: list[KeepingChannel] = []


@pytest.mark.parametrize("step", [made, made_untyped])
def test_a_saved_step_is_repeated_when_its_artifact_is_lost(
    on_disk: KeepingChannel, step: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    _STEPS[:] = [on_disk]
    context(on_disk).step(step, "first")
    file = Path(on_disk.root, "steps", "nightly.bin")
    context(on_disk, 2).step(step, "first")
    assert "repeated" not in capsys.readouterr().err
    file.unlink()
    context(on_disk, 3).step(step, "first")
    assert file.read_text() == "first"
    assert "a saved step is repeated, since its artifact is lost" in capsys.readouterr().err


def test_an_artifact_is_lost_when_it_is_gone_has_another_size_or_was_replaced(channel: KeepingChannel) -> None:
    artifact = publish(channel, "model")
    saved = json.dumps({"made": [{"uri": artifact.uri, "sha256": artifact.sha256, "size": 5}], "sha256": "of something else"})
    assert lost(saved) is None
    assert "has 5 bytes, and had 7" in str(lost(saved.replace('"size": 5', '"size": 7')))
    publish(channel, "other", generation=2, keep_from=2)
    assert "was replaced" in str(lost(saved))
    assert "is not there" in str(lost(saved.replace("model.bin", "none.bin")))


def remove(channel: KeepingChannel) -> None:
    Path(channel.root, "steps", "nightly.bin").unlink()


async def _twice(channel: KeepingChannel) -> None:
    await context(channel).step(made_async, "first")
    remove(channel)
    await context(channel, 2).step(made_async, "first")


def test_a_saved_step_of_an_async_task_is_repeated_too(on_disk: KeepingChannel) -> None:
    import asyncio

    _STEPS[:] = [on_disk]
    asyncio.run(_twice(on_disk))
    assert Path(on_disk.root, "steps", "nightly.bin").read_text() == "first"


def test_it_can_be_used_in_async_tasks(on_disk: KeepingChannel) -> None:
    import asyncio

    async def body() -> Artifact:
        async with context(on_disk).artifact(PATH) as a:
            a.path.write_text("model")
        return a.artifact

    assert read(asyncio.run(body())) == "model"


@pytest.mark.parametrize(
    ("given", "root"),
    [
        ({}, "{start}/.mulligan/artifacts"),
        ({"database": "sqlite:////srv/pipelines.db"}, "/srv/.mulligan/artifacts"),
        ({"database": "sqlite:////srv/.mulligan/mulligan.db"}, "/srv/.mulligan/artifacts"),
        ({"database": "postgresql://u@h/n"}, "{start}/.mulligan/artifacts"),
        ({"artifacts": "kept/here"}, "{start}/kept/here"),
        ({"artifacts": "s3://bucket/x"}, "s3://bucket/x"),
    ],
)
def test_the_root_of_artifacts_is_the_same_for_all_who_use_a_store(tmp_path: Path, given: dict[str, str], root: str) -> None:
    assert load_settings(tmp_path, {}, **given).artifacts == root.format(start=tmp_path)


def test_a_root_named_in_the_file_of_settings_is_relative_to_that_file(tmp_path: Path) -> None:
    (tmp_path / "mulligan.toml").write_text('artifacts = "kept"\n')
    (tmp_path / "deep").mkdir()
    assert load_settings(tmp_path / "deep", {}).artifacts == str(tmp_path / "kept")

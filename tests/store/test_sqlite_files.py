"""Opening files that are ours, files that are not, and places where no store can live: a clear error, and nothing lost."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from mulligan.core.errors import StoreBusy, StoreError, StoreForeign, StoreFull, StoreNewer, StoreReadOnly
from mulligan.store.migrating import migrations
from mulligan.store.sqlite import APPLICATION_ID, SqliteDatabase, file_system
from mulligan.testing.factories import a_definition
from mulligan.testing.harness import Harness

NOBODY = 65534


def filled(path: str) -> None:
    with Harness(path) as world:
        world.submit(items=3)


def holds_three(path: str) -> bool:
    with Harness(path) as world:
        return world.job(1).counts.pending == 3 and world.verify() == []


def test_a_new_file_is_made_ours(path: str) -> None:
    SqliteDatabase(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("pragma application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("pragma user_version").fetchone() == (migrations("sqlite")[-1].number,)
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)


def test_what_was_written_is_there_when_the_file_is_opened_again(path: str) -> None:
    filled(path)
    assert holds_three(path)


@pytest.mark.parametrize(("synchronous", "level"), [("FULL", 2), ("NORMAL", 1)])
def test_durability_is_as_asked_for(path: str, synchronous: str, level: int) -> None:
    with contextlib.closing(SqliteDatabase(path, synchronous)) as database:
        assert database._writer.execute("pragma synchronous").get == level


def test_the_reader_cannot_write(path: str) -> None:
    with contextlib.closing(SqliteDatabase(path)) as database, pytest.raises(StoreReadOnly), database.read():
        database._reader.execute("delete from tasks")


def test_closing_twice_is_fine_and_using_it_afterwards_is_a_clear_error(path: str) -> None:
    database = SqliteDatabase(path)
    database.close()
    database.close()
    with pytest.raises(StoreError, match="closed"), database.write():
        pass
    with pytest.raises(StoreError, match="closed"), database.read():
        pass


@pytest.mark.parametrize("own_id", [0, 12345])
def test_a_database_of_another_program_is_refused_and_left_as_it_was(path: str, own_id: int) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"pragma application_id = {own_id}")
        connection.executescript("create table notes (text); insert into notes values ('mine')")
    before = Path(path).read_bytes()
    with pytest.raises(StoreForeign, match="another program"):
        SqliteDatabase(path)
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize("content", [b"name,value\n" * 1000, b"\x00\xff" * 4096, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(path: str, content: bytes) -> None:
    Path(path).write_bytes(content)
    with pytest.raises(StoreForeign, match="not a SQLite file"):
        SqliteDatabase(path)
    assert Path(path).read_bytes() == content


def test_an_empty_file_is_as_good_as_none(path: str) -> None:
    Path(path).touch()
    filled(path)
    assert holds_three(path)


def test_a_store_of_a_newer_version_is_refused_and_left_as_it_was(path: str) -> None:
    filled(path)
    newer = migrations("sqlite")[-1].number + 1
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"pragma user_version = {newer}")
    before = Path(path).read_bytes()
    with pytest.raises(StoreNewer, match=f"schema {newer}"):
        SqliteDatabase(path)
    assert Path(path).read_bytes() == before


def test_a_damaged_store_is_a_clear_error(path: str) -> None:
    with Harness(path) as world:
        world.submit(items=2000)
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[:4096] + b"\x5a" * (len(whole) - 4096))
    with pytest.raises(StoreError, match=r"cannot be read or written|not a SQLite"), Harness(path) as world:
        world.items(1)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist: make it"):
        SqliteDatabase(str(tmp_path / "nowhere" / "store.db"))
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_instead_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        SqliteDatabase(str(tmp_path))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can reach, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@contextlib.contextmanager
def without_rights(*paths: Path) -> Iterator[None]:
    """Be somebody whom the rights of files concern, which root is not."""
    is_root = os.geteuid() == 0
    if is_root:
        for path in paths:
            os.chown(path, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def test_a_file_without_the_right_to_write_is_refused_at_once(open_folder: Path) -> None:
    store = open_folder / "store.db"
    filled(str(store))
    store.chmod(0o444)
    with without_rights(store, open_folder), pytest.raises(StoreReadOnly, match="check the rights"):
        SqliteDatabase(str(store))
    store.chmod(0o644)
    assert holds_three(str(store))


def test_a_folder_without_the_right_to_write_is_refused_at_once(open_folder: Path) -> None:
    store = open_folder / "store.db"
    filled(str(store))
    for each in (store, store.with_name("new.db")):
        open_folder.chmod(0o555)
        with without_rights(store, open_folder), pytest.raises(StoreError, match="check the rights"):
            SqliteDatabase(str(each))
        open_folder.chmod(0o755)
    assert holds_three(str(store))


def test_a_file_without_the_right_to_read_is_refused(open_folder: Path) -> None:
    store = open_folder / "store.db"
    filled(str(store))
    store.chmod(0o000)
    with without_rights(store, open_folder), pytest.raises(StoreError, match="check the rights"):
        SqliteDatabase(str(store))


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def held_by_another_process(path: str, how: str) -> Iterator[None]:
    command = [sys.executable, "-c", HOLDER, path, how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        assert holder.stdin is not None
        holder.stdin.close()


def test_a_store_that_another_process_locks_is_busy_after_the_time_allowed(path: str) -> None:
    filled(path)
    database = SqliteDatabase(path, busy_ms=50)
    with held_by_another_process(path, "begin immediate"):
        with pytest.raises(StoreBusy, match=r"over 0\.05 s: nothing was changed"), database.write():
            pass
        with database.read():
            assert database.in_reader("read_job", {"job": 1})
    with database.write():
        pass
    database.close()
    assert holds_three(path)


def test_opening_a_file_that_another_process_locks_is_busy_too(path: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma user_version = 0")
    with held_by_another_process(path, "begin exclusive"), pytest.raises(StoreBusy):
        SqliteDatabase(path, busy_ms=50)


OPENER = """
import sys
from mulligan.store.sqlite import SqliteDatabase
sys.stdin.readline()
SqliteDatabase(sys.argv[1]).close()
"""


def test_processes_that_open_a_new_file_at_once_all_succeed(path: str) -> None:
    command = [sys.executable, "-c", OPENER, path]
    there = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    for each in there:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    told = [each.communicate(timeout=60)[1] for each in there]
    assert [(each.returncode, text) for each, text in zip(there, told, strict=True)] == [(0, "")] * 6
    filled(path)
    assert holds_three(path)


def test_readers_see_whole_transactions_only(path: str) -> None:
    with Harness(path) as world, Harness(path) as other:
        world.submit(items=1)
        with world.store.write() as session:
            session.tasks.add("default", "more", "flow")
            with other.store.read() as seen:
                assert seen.tasks.find("default", "more") is None
        with other.store.read() as seen:
            assert seen.tasks.find("default", "more") is not None
            with world.store.write() as session:
                session.tasks.add("default", "even more", "flow")
            assert seen.tasks.find("default", "even more") is None


class TestFullDisk:
    def fill(self, world: Harness) -> None:
        for _ in range(1000):
            world.submit(items=1000)

    def after(self, world: Harness) -> None:
        assert world.job(1).counts.pending == 3
        assert world.verify() == []

    def test_a_database_that_may_not_grow_says_so_and_loses_nothing(self, path: str) -> None:
        filled(path)
        with Harness(path) as world:
            writer = world.database._writer
            pages = writer.execute("pragma page_count").get
            writer.execute(f"pragma max_page_count = {pages + 40}")
            with pytest.raises(StoreFull, match="make room and try again"):
                self.fill(world)
            self.after(world)
            writer.execute("pragma max_page_count = 1000000")
            self.submits(world)

    def test_a_disk_without_room_says_so_and_loses_nothing(self, tmp_path: Path) -> None:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(tmp_path)], capture_output=True, text=True, check=False
        )
        if mounted.returncode:
            pytest.skip(f"a small disk cannot be made here: {mounted.stderr.strip()}")
        try:
            path = str(tmp_path / "store.db")
            filled(path)
            with Harness(path) as world:
                ballast = tmp_path / "ballast"
                ballast.write_bytes(b"x" * 800_000)
                with pytest.raises(StoreFull, match="make room and try again"):
                    self.fill(world)
                self.after(world)
                ballast.unlink()
                self.submits(world)
        finally:
            subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)

    def submits(self, world: Harness) -> None:
        job = world.submit(a_definition("after"), 5)
        worker = world.worker(a_definition("after"))
        for item in worker.claim(5):
            worker.succeed(item)
        assert world.job(job).counts.success == 5
        assert world.verify() == []


MOUNTS = """/dev/sda1 / ext4 rw 0 0
server:/export /data nfs4 rw 0 0
//nas/share /mnt/my\\040share cifs rw 0 0
tmpfs /data/fast tmpfs rw 0 0
user@host: /srv/remote fuse.sshfs rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "ext4"),
        ("/var/lib", "ext4"),
        ("/data", "nfs4"),
        ("/data/jobs", "nfs4"),
        ("/database", "ext4"),
        ("/data/fast/x", "tmpfs"),
        ("/mnt/my share/x", "cifs"),
        ("/srv/remote", "fuse.sshfs"),
    ],
)
def test_the_file_system_of_a_folder_is_that_of_the_mount_nearest_to_it(folder: str, kind: str) -> None:
    assert file_system(folder, MOUNTS) == kind


def test_without_a_list_of_mounts_nothing_is_known_of_the_file_system() -> None:
    assert file_system("/data", "") == ""


def test_a_store_on_a_network_file_system_is_refused(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mulligan.store.sqlite.file_system", lambda folder, mounts: "nfs4")
    with pytest.raises(StoreError, match=r"network file system \(nfs4\)"):
        SqliteDatabase(path)
    assert not Path(path).exists()


def test_the_sqlite_in_use_is_free_of_the_bug_that_two_writers_can_meet() -> None:
    assert tuple(map(int, apsw.sqlite_lib_version().split("."))) >= (3, 51, 3)

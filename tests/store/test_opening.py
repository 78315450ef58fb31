"""A file that cannot be the store gives a clear error, and nothing that is in it is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest
from shelf import a_job, a_task

from mulligan.core.errors import StoreBusy, StoreError, StoreForeign, StoreFull, StoreNewer, StoreReadOnly
from mulligan.store.sqlite import SqliteDatabase, migrations
from mulligan.store.store import Store


def filled(path: Path) -> None:
    store = Store(SqliteDatabase(str(path)))
    with store.write() as session:
        a_job(session, a_task(session), 3)
    store.close()


def jobs_in(path: Path) -> int:
    store = Store(SqliteDatabase(str(path)))
    try:
        return len(store.listing.jobs({}))
    finally:
        store.close()


def test_another_programs_sqlite_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    theirs = apsw.Connection(str(path))
    theirs.execute("create table recipes (name text); insert into recipes values ('soup')")
    theirs.close()
    before = path.read_bytes()
    with pytest.raises(StoreForeign, match="another program"):
        SqliteDatabase(str(path))
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"buy milk\n" * 500)
    with pytest.raises(StoreForeign, match="not a SQLite file"):
        SqliteDatabase(str(path))
    assert path.read_bytes() == b"buy milk\n" * 500


def test_a_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    filled(path)
    newer = apsw.Connection(str(path))
    newer.execute("pragma user_version = 9999")
    newer.close()
    with pytest.raises(StoreNewer, match=r"schema 9999.*install the version that made it"):
        SqliteDatabase(str(path))
    older = apsw.Connection(str(path))
    older.execute(f"pragma user_version = {migrations()[-1][0]}")
    older.close()
    assert jobs_in(path) == 1


def test_a_missing_folder_and_a_folder_for_a_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist: make it"):
        SqliteDatabase(str(tmp_path / "missing" / "store.db"))
    with pytest.raises(StoreError, match="is a folder"):
        SqliteDatabase(str(tmp_path))


def without_special_rights() -> list[str]:
    """Return how to run a command whose rights are those of the file modes, also for root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may write everything, and there is no setpriv (util-linux) to take that right away")
    return ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]


def test_a_file_that_may_not_be_written_is_named_and_keeps_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    filled(path)
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    code = (
        "import sys\n"
        "from mulligan.core.errors import StoreError\n"
        "from mulligan.store.sqlite import SqliteDatabase\n"
        "try:\n"
        "    with SqliteDatabase(sys.argv[1]).write(): pass\n"
        "except StoreError as error: print(type(error).__name__, error)\n"
    )
    command = [*without_special_rights(), sys.executable, "-c", code, str(path)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    tmp_path.chmod(0o755)
    path.chmod(0o644)
    assert told.stdout.startswith(f"{StoreReadOnly.__name__} {path} cannot be written"), told.stdout + told.stderr
    assert jobs_in(path) == 1


def test_a_store_that_another_process_holds_says_so_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    filled(path)
    holder = apsw.Connection(str(path))
    holder.execute("begin immediate")
    store = Store(SqliteDatabase(str(path), busy_ms=50))
    with pytest.raises(StoreBusy, match="locked by another process"), store.write() as session:
        a_task(session, "late")
    holder.execute("rollback")
    holder.close()
    with store.write() as session:
        a_task(session, "late")
    store.close()
    assert jobs_in(path) == 1


def test_a_full_disk_loses_nothing_and_work_goes_on_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    filled(path)
    store = Store(SqliteDatabase(str(path)))
    writer = store.database._writer  # type: ignore[attr-defined]
    writer.execute(f"pragma max_page_count = {writer.execute('pragma page_count').get}")
    with pytest.raises(StoreFull, match="no room left"), store.write() as session:
        a_job(session, a_task(session, "big"), 5_000, run_id="big")
    assert len(store.listing.jobs({})) == 1, "reading goes on"
    writer.execute("pragma max_page_count = 1000000")
    with store.write() as session:
        a_job(session, a_task(session, "big"), 5_000, run_id="big")
    assert len(store.listing.jobs({})) == 2
    store.close()


def test_processes_that_open_a_new_store_at_once_all_succeed(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    code = "import sys; from mulligan.store.sqlite import SqliteDatabase; SqliteDatabase(sys.argv[1]).close(); print('ok')"
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    told = [each.communicate(timeout=60) for each in started]
    assert [out.strip() for out, _ in told] == ["ok"] * 6, told


def test_one_writes_at_a_time_and_readers_see_whole_transactions_only(tmp_path: Path) -> None:
    store = Store(SqliteDatabase(str(tmp_path / "store.db")))
    with store.write() as session:
        task = a_task(session)
    seen: set[int] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            with store.read() as session:
                job = session.jobs.read(1)
            seen.add(job.counts.total if job else 0)

    reader = threading.Thread(target=look)
    reader.start()
    with store.write() as session:
        a_job(session, task, 5_000)
    while 5_000 not in seen:
        reader.join(0.01)
    stop.set()
    reader.join()
    store.close()
    assert seen <= {0, 5_000}


def test_full_is_the_default_durability_and_normal_is_by_setting(tmp_path: Path) -> None:
    for given, level in (({}, 2), ({"synchronous": "NORMAL"}, 1)):
        database = SqliteDatabase(str(tmp_path / f"{level}.db"), **given)
        assert database._writer.execute("pragma synchronous").get == level
        assert database._writer.execute("pragma journal_mode").get == "wal"
        database.close()

"""Every statement goes by its index, on both stores: the table below says which; what may go through a table says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from plans import Read, conditions, reads, reads_of
from shelf import work_in_every_state

from mulligan.store.interface import Database
from mulligan.store.listing import Listing
from mulligan.store.postgres import Place, PostgresDatabase
from mulligan.store.statements import statements
from mulligan.testing.harness import Harness
from mulligan.testing.postgres import leave_alone

# Statement, and what each store reads: "_pkey" by the primary key, "_unique" by a unique constraint, else by the index of that
# name; with a star all of the index, with ":ALL" all of the table; "place" where rows were found before; "-" for nothing; empty
# where a store has no such statement, since it does several steps in one, or one in several.
# ruff: noqa: E501 - a row of the table is a line
TABLE = """
abandoned_bulks | bulk_operations_collecting | bulk_operations_collecting
abandoned_jobs | jobs_unsealed* | jobs_unsealed*
add_access_key | - | -
add_arrivals | items_pkey jobs_pkey | items_pkey jobs_pkey
add_attempts | - |
add_audit | - | -
add_bulk | - | -
add_bulk_items | - | -
add_calls_job | items_pkey jobs_pkey | items_pkey jobs_pkey
add_definition | - | -
add_event | - | -
add_events | - | -
add_inputs | - | -
add_items | - | -
add_job | - | -
add_login_session | - | -
add_logs | - | -
add_successes | - |
add_successor | - | -
add_tallies | - | -
add_task | - | -
add_to_totals | - | -
add_to_trends | - | -
add_upload | - | -
add_worker | - | -
add_worker_task | - | -
advance_bulk | bulk_operations_pkey | bulk_operations_due*
among_bulk | bulk_items_unique | bulk_items_operation_job_number_key
any_access_key | access_keys_name* | access_keys_name*
any_arrival | arrivals_pkey | arrivals_pkey
any_broken_window | outages_pkey | outages_pkey
any_successor | successors_unique* | successors_next_job_next_number_key*
any_tally | tallies:ALL | tallies_pkey*
add_whole_at_once | | -
apply_at_once | | items_pkey jobs_pkey
apply_items | items_pkey |
asked_to_stop | items_held | items_held
attempts_of | attempts_pkey | attempts_pkey
beat | meta_pkey workers_pkey | meta_pkey workers_pkey
begin_folding | - | -
begin_bulk | bulk_operations_pkey | bulk_operations_collecting*
begin_reply | - | -
begin_retention | - | -
bulk_page | bulk_items_pkey | bulk_items_pkey
calls_at | calls_pkey | calls_pkey
calls_below | below:ALL jobs_calls | jobs_calls
calls_children | jobs_calls | jobs_calls
calls_counts | jobs_calls | jobs_calls
calls_jobs | jobs_calls | jobs_calls
calls_of_jobs | jobs_pkey | jobs_pkey
calls_unended | below:ALL jobs_calls | jobs_calls
cancelling_jobs | jobs_cancelling* | jobs_cancelling*
changed_by_operation | audit_operation | audit_operation
checkpoint_definitions | checkpoints_pkey items_pkey | checkpoints_pkey items_pkey
claim_at_once | | attempts_pkey inputs_pkey items_pkey items_ready jobs_cancelling* jobs_pkey
claimable | inputs_pkey items_ready jobs_cancelling* |
close_outages | outages_pkey | outages_pkey
close_worker | workers_pkey | workers_open
count_causes | causes_pkey | causes_pkey
count_items | jobs_pkey | jobs_pkey
count_kept_calls | jobs_calls | jobs_calls
count_moves | jobs_pkey |
count_refused | workers_pkey | workers_pkey
count_running | items_held | items_held*
count_unsealed | jobs_unsealed* | jobs_unsealed*
count_windows | inputs_window past_windows_pkey | inputs_window
count_saved | checkpoints_pkey | checkpoints_pkey
current_definition | tasks_pkey | tasks_pkey
drop_bulk | bulk_operations_pkey | bulk_operations_pkey
drop_bulk_items | bulk_items_pkey | bulk_items_pkey place
drop_events | events_of_item jobs_unsealed* | events_of_item jobs_unsealed*
drop_inputs | inputs_pkey jobs_unsealed* | inputs_job_key_key jobs_unsealed*
drop_items | items_pkey jobs_unsealed* | items_pkey jobs_unsealed*
drop_job | jobs_pkey | jobs_unsealed
drop_old_checkpoints | checkpoints_pkey | checkpoints_pkey
drop_outages | items_pkey jobs_unsealed* outages_pkey | items_pkey jobs_unsealed* outages_pkey
drop_reply | replies_pkey | replies_pkey
drop_successor | successors_pkey | successors_pkey
due_bulks | bulk_operations_due | bulk_operations_due
end_bulk | bulk_operations_pkey | bulk_operations_pkey
end_login_session | login_sessions_pkey | login_sessions_pkey
end_reply | replies_pkey | replies_pkey
end_upload | uploads_pkey | uploads_pkey
ended_counts | found:ALL jobs_past | jobs_past
ends_of | events_of_item | events_of_item
events_end | sqlite_sequence:ALL | -
expired | items_deadline | items_deadline
failed_by_cause | items_pkey jobs_pkey | items_pkey jobs_pkey
failed_by_class | items_status | items_status
failed_unsealed_by_cause | items_pkey jobs_unsealed* | items_status jobs_unsealed*
find_access_key | access_keys_pkey | access_keys_pkey
find_bulk | bulk_operations_pkey | bulk_operations_pkey
find_bulk_of_request | bulk_operations_unique | bulk_operations_request_key
find_bulks | bulk_operations_pkey | bulk_operations_pkey
find_calls_job | items_pkey jobs_calls | items_pkey jobs_calls
find_definition | definitions_unique | definitions_task_digest_key
find_job_by_run_id | jobs_run | jobs_run
find_login_session | login_sessions_pkey | login_sessions_pkey
find_parent | jobs_pkey | jobs_pkey
find_published | definitions_unique tasks_unique | definitions_task_digest_key tasks_namespace_name_key
find_reply | replies_pkey | replies_pkey
find_successor | successors_pkey | successors_pkey
find_task | definitions_pkey tasks_unique | definitions_pkey tasks_namespace_name_key
find_task_by_id | definitions_pkey tasks_pkey | definitions_pkey tasks_pkey
find_upload | uploads_pkey | uploads_pkey
find_worker | workers_unique | workers_instance_key
first_ends | attempts_pkey | attempts_pkey
first_failure | attempts_pkey items_status | attempts_pkey items_status
first_failures | attempts_pkey | attempts_pkey
first_wait | items_pkey | items_pkey
flag_calls | jobs_calls jobs_pkey | jobs_calls jobs_pkey
flag_job | jobs_pkey | jobs_pkey
followers | successors_pkey | successors_pkey
forgive_crashes | items_pkey | items_held
free_pages | pragma_freelist_count:ALL pragma_page_count:ALL | -
give_back_pages | - | -
grow_bulk | bulk_operations_pkey | bulk_operations_collecting*
grow_job | jobs_pkey | jobs_unsealed
heads | items_ready tasks:ALL | items_ready tasks_pkey
held_behind | behind:ALL items_pkey successors_pkey | items_pkey successors_pkey
held_by | items_held | items_held
in_broken_windows | inputs_pkey outages_pkey | inputs_pkey outages_pkey
in_order_unsuccessful | items_pkey successors:ALL successors_unique* | items_status successors_next_job_next_number_key* successors_pkey*
inputs_from | inputs_pkey | inputs_pkey
is_calling | items_pkey | items_held
is_living | workers_pkey | workers_pkey
items_of_jobs | items_pkey | items_pkey
job_limits | jobs_pkey | jobs_pkey
job_origins | jobs_pkey tasks_pkey up:ALL | jobs_pkey tasks_pkey
job_ranges | inputs_pkey jobs_pkey tasks_pkey | inputs_pkey jobs_pkey tasks_pkey
job_results | attempts_pkey items_pkey | attempts_pkey items_pkey
jobs_and_pipelines | jobs_pkey tasks_pkey up:ALL | jobs_pkey tasks_pkey
jobs_with_checkpoints | checkpoints_pkey | checkpoints_pkey
keep_windows | - | -
keys_of | inputs_pkey | inputs_pkey
keys_there | inputs_unique | inputs_job_key_key
last_logs | logs_pkey | logs_pkey
later_written | inputs_window items_pkey past_windows_pkey | inputs_window items_pkey past_windows_pkey
list_access_keys | access_keys:ALL | access_keys:ALL
list_bulk | bulk_operations_pkey | bulk_operations_pkey
list_causes | causes_pkey tasks_unique | causes_pkey tasks_namespace_name_key
list_tasks | definitions_pkey tasks_unique | definitions_pkey tasks_namespace_name_key
list_workers | workers:ALL | workers_pkey*
living_login_sessions | login_sessions_pkey | login_sessions_pkey
lock_admin_keys | - | access_keys_pkey*
lock_bulk | - | bulk_operations_pkey
lock_jobs | - | jobs_pkey
lock_ready_jobs | - |
lock_task | - | tasks_pkey
lose_worker | workers_pkey | workers_pkey
mark_pruned | jobs_pkey | jobs_pkey
newest_job | jobs:ALL | jobs_pkey
next_deadline | items_deadline | items_deadline*
next_retry | items_status | items_status
old_workers | workers_closed | workers_closed
open_jobs | jobs_pkey | jobs_pkey
open_outages | - | -
open_workers | workers_open* | workers_open*
other_admin_key | access_keys_name* | access_keys_name*
past_bulks | bulk_operations_past | bulk_operations_past
past_jobs | jobs_past jobs_pkey | jobs_past jobs_pkey
past_successes | inputs_pkey items_pkey | inputs_pkey items_pkey
postpone_bulk | bulk_operations_pkey | bulk_operations_due
predecessors | successors_unique | successors_next_job_next_number_key
prune_arrivals | arrivals_pkey | arrivals_pkey
prune_attempts | attempts_pkey | attempts_pkey place
prune_bulk_events | events_of_item | events_of_item
prune_calls | calls_number | calls_number
prune_causes | causes:ALL causes_pkey | causes:ALL place
prune_checkpoints | checkpoints_pkey | checkpoints_pkey place
prune_events | events_of_item | events_of_item place
prune_inputs | inputs_pkey | inputs_pkey place
prune_items | items_pkey | items_pkey place
prune_job_events | events_of_item | events_of_item
prune_jobs | jobs_pkey | jobs_pkey
prune_login_sessions | login_sessions_age login_sessions_pkey | login_sessions_age login_sessions_pkey
prune_logs | logs_pkey | logs_pkey place
prune_operations | - | operations_age place
prune_outages | items_pkey outages_pkey | items_pkey outages_pkey
prune_progress | progress_pkey | place progress_pkey
prune_replies | replies_age replies_pkey | replies_age replies_pkey
prune_successors | successors_pkey | place successors_pkey
prune_worker_tasks | worker_tasks_pkey | worker_tasks_pkey
prune_workers | workers_pkey | workers_pkey
pruning_jobs | jobs_pruning* | jobs_pruning*
read_attempts | attempts_pkey | attempts_pkey
read_audit | audit_pkey | audit_pkey
read_called | attempts_pkey calls_number items_pkey jobs_pkey tasks_pkey | attempts_pkey calls_number items_pkey jobs_pkey tasks_pkey
read_calls | attempts_pkey calls_pkey items_pkey tasks_pkey | attempts_pkey calls_number items_pkey tasks_pkey
read_causes | causes_pkey tasks_unique | causes_pkey tasks_namespace_name_key
read_checkpoints | checkpoints_pkey | checkpoints_pkey
read_definition | definitions_pkey | definitions_pkey
read_events | events_pkey | events_in_order
read_input | inputs_pkey | inputs_pkey
read_items | items_pkey jobs_pruning* | items_pkey
read_job | jobs_pkey tasks_pkey | jobs_pkey tasks_pkey
read_jobs | jobs_pkey | jobs_pkey
read_logs | logs_pkey | logs_pkey
read_progress | progress_pkey | progress_pkey
read_saved | checkpoints_pkey | checkpoints_pkey
read_totals | tallies:ALL totals_pkey | tallies:ALL totals_pkey
read_trends | tallies:ALL trends_pkey | tallies:ALL trends_pkey
recent_runs | jobs_of_task jobs_pkey tasks_unique | jobs_of_task tasks_namespace_name_key
release_items | items_pkey | items_pkey
released_job | jobs_pkey | jobs_pkey
releasing_jobs | jobs_releasing* | jobs_releasing*
reopen_calls | jobs_calls jobs_pkey | jobs_calls jobs_pkey
revoke_access_key | access_keys_name* access_keys_pkey | access_keys_name* access_keys_pkey
rows_written | attempts_pkey | attempts_pkey
running_of_job | items_held | items_held*
save_checkpoint | items_pkey | items_held
seal_calls | jobs_calls jobs_pkey | jobs_calls jobs_unsealed
seal_job | jobs_pkey | jobs_unsealed
see_login_session | login_sessions_pkey | login_sessions_pkey
set_calls | - | -
set_current_definition | tasks_pkey | tasks_pkey
set_paused | tasks_pkey | tasks_pkey
set_progress | - | -
settle_at_once | | items_pkey jobs_pkey
settle_items | items_pkey |
start_items | attempts_pkey items_pkey |
stop_worker | workers_pkey | workers_pkey
take_arrivals | arrivals_pkey | arrivals_pkey
take_over_reply | replies_pkey | replies_pkey
subjects | inputs_pkey | inputs_pkey
take_tallies | tallies:ALL tallies_pkey | tallies_pkey tallies_pkey*
tasks_with_workers | worker_tasks:ALL workers_pkey | worker_tasks_pkey workers_open*
unended_counts | found:ALL jobs_unended | jobs_unended
unflag_job | jobs_pkey | jobs_pkey
waiting_of_job | items_pkey | items_pkey
window_rivals | inputs_pkey inputs_window items_pkey | inputs_pkey inputs_window items_pkey
windows_beside | inputs_window past_windows_pkey | inputs_window
windows_newest | inputs_window items_pkey past_windows_pkey | inputs_window items_pkey
windows_of | inputs_pkey | inputs_pkey
windows_page | inputs_window past_windows_pkey | inputs_window past_windows_pkey
windows_past | past_windows_unique | past_windows_job_number_key
windows_taken | inputs_window items_pkey past_windows_pkey | inputs_window items_pkey past_windows_pkey
"""
MAY_SCAN = {
    "any_access_key": "its first row is enough",
    "any_successor": "its first row is enough",
    "ended_counts": "goes through what it has found so far",
    "events_end": "a row for each table that counts its ids, which are few",
    "free_pages": "asks the file, and no table",
    "heads": "SQLite reads the tasks, which are as many as there is code",
    "held_behind": "what SQLite goes through is what it has found so far",
    "any_tally": "its first row is enough",
    "read_totals": "what is summed up every few seconds",
    "read_trends": "what is summed up every few seconds",
    "take_tallies": "the first of what is summed up every few seconds, by their ids",
    "calls_below": "goes through the jobs that it has found so far",
    "calls_unended": "goes through the jobs that it has found so far",
    "in_order_unsuccessful": "goes through what was put in order and has not succeeded since, for a retry that a person asks for",
    "jobs_and_pipelines": "goes through the jobs that it has found so far",
    "job_origins": "SQLite goes through what it has found so far",
    "list_access_keys": "keys, which people make",
    "lock_admin_keys": "keys, which people make",
    "other_admin_key": "keys, which people make",
    "list_workers": "the newest by their ids, 500 at most",
    "newest_job": "the last row of the table",
    "next_deadline": "the first entry of the index is enough",
    "prune_causes": "causes, which are as many as there are ways to fail, once a minute",
    "revoke_access_key": "keys, which people make",
    "unended_counts": "goes through what it has found so far",
    "tasks_with_workers": "the workers that live, and what they can do",
}
OPEN = (
    "jobs_unsealed",
    "jobs_cancelling",
    "jobs_releasing",
    "jobs_pruning",
    "workers_open",
    "items_held",
    "bulk_operations_due",
    "bulk_operations_collecting",
)
"""Indexes that hold only what is being done at the moment, however much there is besides: they may be gone through."""
ROWS = [tuple(cell.strip() for cell in line.split("|")) for line in TABLE.strip().splitlines()]
EXPECTED = {
    dialect: {row[0]: row[place] for row in ROWS if row[place]} for place, dialect in enumerate(("sqlite", "postgres"), 1)
}


@pytest.fixture(params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[Harness]:
    """A store of each kind with work in every state, and no statistics yet: the statements must not need any."""
    database: Database | None = None
    if request.param == "postgres":
        database = PostgresDatabase(request.getfixturevalue("a_place")())
        leave_alone(database)
    with Harness(database=database) if database else Harness() as made:
        work_in_every_state(made)
        yield made
    if database:
        database.close()


def written(found: set[Read]) -> str:
    """Write what is read as the table does."""
    cells = {f"{each.index or f'{each.table}:ALL'}{'' if each.sought or not each.index else '*'}" for each in found}
    return " ".join(sorted(cells)) or "-"


def gone_through(found: set[Read]) -> set[str]:
    return {each.index or each.table for each in found if not each.sought and each.index not in OPEN}


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_every_statement_is_in_the_table(dialect: str) -> None:
    assert set(EXPECTED[dialect]) == set(statements(dialect))


def test_every_statement_reads_what_the_table_says(world: Harness) -> None:
    expected = EXPECTED[world.store.database.dialect]
    found = {name: written(reads(world.store, name)) for name in expected}
    assert {name: cell for name, cell in found.items() if cell != expected[name]} == {}


def test_nothing_goes_through_what_grows_but_what_says_why(world: Harness) -> None:
    through = {name: gone_through(reads(world.store, name)) for name in EXPECTED[world.store.database.dialect]}
    assert {name: tables for name, tables in through.items() if tables and name not in MAY_SCAN} == {}


@pytest.mark.parametrize(
    "filters",
    [
        {"job": 1},
        {"job": 1, "after": (1, 100)},
        {"job": 1, "status": "FAILURE"},
        {"job": 1, "status": ["RETRY"]},
        {"job": 1, "number": 7},
        {"job": 1, "key": "7"},
        {"ids": [(1, 1), (1, 2)]},
    ],
    ids=str,
)
def test_a_list_of_a_jobs_items_begins_where_they_are(world: Harness, filters: dict[str, object]) -> None:
    for asked in listed(world, filters):
        found = [each for each in asked if each.table == "items"]
        assert found
        assert all(each.sought for each in found)


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_an_item_of_a_large_job_is_found_by_its_key_and_not_by_going_through_the_job(
    dialect: str, request: pytest.FixtureRequest
) -> None:
    database = PostgresDatabase(request.getfixturevalue("a_place")()) if dialect == "postgres" else None
    unique = {"sqlite": "inputs_unique", "postgres": "inputs_job_key_key"}[dialect]
    with Harness(database=database) if database else Harness() as world:
        job = world.submit(items=3000)  # and no statistics yet
        for asked in listed(world, {"job": job, "key": "7"}):
            assert Read("inputs", unique, sought=True) in asked, asked
    if database:
        database.close()


def test_what_failed_in_any_job_is_found_without_what_has_not(world: Harness) -> None:
    for asked in listed(world, {"status": "FAILURE"}):
        read = {each.index: each.sought for each in asked if each.table == "items"}
        assert read in ({"items_pkey": True}, {"items_status": False}), read


@pytest.mark.parametrize("more", [{}, {"status": "FAILURE"}, {"after": (1, 5)}, {"task": "features"}], ids=str)
def test_what_failed_of_a_cause_is_found_without_what_failed_of_another(world: Harness, more: dict[str, object]) -> None:
    for asked in listed(world, {"cause": "0" * 12, "namespace": "default", **more}):
        read = {each.index: each.sought for each in asked if each.table == "items"}
        assert read == {"items_cause": True}, read


@pytest.mark.parametrize("name", ["claim_at_once", "settle_at_once", "apply_at_once"])
def test_a_session_that_planned_while_the_store_was_empty_finds_each_item_by_its_job_and_its_number(
    name: str, a_place: Callable[[], Place]
) -> None:
    database = PostgresDatabase(a_place())
    with Harness(database=database) as world:
        for asked in conditions(world.store, name, "items_pkey"):
            assert "job" in asked
            assert "number" in asked, f"goes through the whole job for each item: {asked}"
    database.close()


def test_statistics_of_a_large_store_do_not_lead_claims_astray() -> None:
    with Harness() as world:
        world.submit(items=6000)
        world.worker()
        world.database._writer.execute("analyze")
        for name in ("heads", "claimable", "start_items", "settle_items", "apply_items", "held_by", "expired"):
            found = [each for each in reads(world.store, name) if each.table == "items"]
            assert found, name
            assert all(each.sought and each.index in EXPECTED["sqlite"][name].split() for each in found), name


def listed(world: Harness, filters: dict[str, object]) -> list[set[Read]]:
    """Return what a page of items, and a page of their keys, read."""
    asked: list[tuple[str, dict[str, object]]] = []

    class Noting:
        dialect = world.store.database.dialect
        read = world.store.database.read

        def text_in_reader(self, text: str, values: dict[str, object]) -> list[object]:
            asked.append((text, dict(values)))
            return []

    listing = Listing(Noting())  # type: ignore[arg-type] - what a listing asks of a database
    assert listing.items(filters) == []
    assert listing.keys(filters, 10) == {}
    return [reads_of(world.store, text, values) for text, values in asked]

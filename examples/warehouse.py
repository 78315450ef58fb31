"""A program as a task: DuckDB's own command line, run on a script; its exit code says what a failure is.

    mulligan dev examples/warehouse.py                                    # in one terminal
    mulligan submit build sql="select 42 as answer" database=:memory:     # in another

It needs the `duckdb` program, which `pip install duckdb-cli` brings.
"""

from mulligan import BATCH, PERMANENT, TRANSIENT, CommandFailed, Context, TransientError, task


@task(retries=BATCH, timeout="30m")
def build(ctx: Context, sql: str, database: str) -> str:
    """Run SQL in a database file; return what it answers, as CSV."""
    try:
        return ctx.run(["duckdb", "-bail", "-csv", database], input=sql, exit_codes={1: PERMANENT}).stdout
    except CommandFailed as failed:
        if "Could not set lock" in failed.stderr:  # another process has the file open: that passes
            raise TransientError("the database is in use") from failed
        raise


@task(retries=BATCH, timeout="2h")
def dbt_build(ctx: Context, select: str) -> None:
    """Run dbt: 1 is an error that it knows, of a model, a test or a right; 2 one that it does not, such as a lost connection."""
    ctx.run(["dbt", "build", "--select", select], exit_codes={1: PERMANENT, 2: TRANSIENT})

"""The commands about keys of the API: `mulligan keys create`, `list` and `revoke`."""

from __future__ import annotations

from typing import Annotated

import typer

from mulligan.cli import parsing
from mulligan.cli.shell import Shell, command
from mulligan.cli.table import Cell, Column
from mulligan.cli.words import ago, iso
from mulligan.core.access import Role
from mulligan.core.durations import seconds

Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the audit.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Keys by which programs and people use the API.")
    command(group, "keys create --role operator --name ann")(create)
    command(group, "keys list")(list_)
    command(group, "keys revoke ann")(revoke)
    app.add_typer(group, name="keys")


def create(
    shell: Shell,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Whose it is, as the audit will say.")],
    role: Annotated[Role, typer.Option("--role", case_sensitive=False, metavar="viewer|operator|admin", help="What it may do.")],
    pipelines: Annotated[
        list[str] | None,
        typer.Option("--pipeline", metavar="TASK", help="Only for this task or workflow; may be repeated.", show_default=False),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="DURATION", help="Taken for so long, such as 90d.", show_default=False)
    ] = None,
    reason: Reason = "",
) -> None:
    """Make a key. It is shown once: what is kept of it cannot be turned back.

    A viewer may look, an operator also act, an admin everything.
    """
    limit_s = None if expires is None else seconds(parsing.duration(expires, "--expires") or 0, "--expires")
    shell.make_store()
    made = shell.client.gateway.keys.create(name, role, pipelines or None, reason, limit_s)
    if shell.as_json:
        shell.document({"id": made.id, "name": name, "role": str(role), "pipelines": pipelines or None, "key": made.text})
        return
    shell.say(made.text)
    shell.hint(f"This is the key of {name}, {role}. It is not shown again.")


def list_(
    shell: Shell,
    everyone: Annotated[bool, typer.Option("--all", help="Also those that were revoked.")] = False,
) -> None:
    """List keys, the oldest first. The keys themselves are kept nowhere."""
    rows = [each for each in shell.client.gateway.keys.all() if everyone or each.revoked_ms is None]
    if shell.as_json:
        shell.document(
            [
                {
                    "id": each.id,
                    "name": each.name,
                    "role": each.role,
                    "pipelines": each.pipelines,
                    "created_at": iso(each.created_ms),
                    "expires_at": iso(each.expires_ms),
                    "revoked_at": iso(each.revoked_ms),
                }
                for each in rows
            ]
        )
        return
    if not rows:
        shell.say("There are no keys yet.")
        shell.next("mulligan keys create --role operator --name NAME")
        return
    now_ms = shell.client.gateway.now_ms()
    columns = (Column("ID", fixed=True), Column("NAME"), Column("ROLE", fixed=True), Column("PIPELINES"), Column("MADE"))
    table: list[list[Cell]] = []
    for each in rows:
        made = ago(each.created_ms, now_ms)
        made = made if each.expires_ms is None else f"{made}, {_until(each.expires_ms, now_ms)}"
        made = made if each.revoked_ms is None else f"{made}, revoked {ago(each.revoked_ms, now_ms)}"
        table.append([each.id, each.name, each.role, ", ".join(each.pipelines or ("all",)), made])
    shell.table(columns, table)


def revoke(
    shell: Shell,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Name or id of a key.")],
    last: Annotated[bool, typer.Option("--last", help="Also where no key of an admin is left then.")] = False,
    reason: Reason = "",
) -> None:
    """Revoke a key: within a second no server takes it any more.

    The last key of an admin is revoked only with --last.
    """
    name = shell.client.gateway.keys.revoke(key, reason, last=last)
    if shell.as_json:
        shell.document({"name": name, "revoked": True})
    else:
        shell.say(f"The key of {name} is revoked.")


def _until(expires_ms: int, now_ms: int) -> str:
    return f"expired {ago(expires_ms, now_ms)}" if expires_ms <= now_ms else f"until {iso(expires_ms)}"

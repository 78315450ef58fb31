"""Settings: from arguments, then MULLIGAN_… variables, then mulligan.toml, then what is built in."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mulligan.core.durations import seconds
from mulligan.core.errors import ConfigError
from mulligan.core.masking import check_reference
from mulligan.core.shown import shown

FILE = "mulligan.toml"
FOLDER = ".mulligan"
DEFAULT_STORE = "mulligan.db"
ARTIFACTS = "artifacts"
SQLITE = "sqlite:///"
POSTGRES = ("postgresql://", "postgres://")
HTTP = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. Each field is a key of mulligan.toml, a variable MULLIGAN_FIELD, and an argument."""

    database: str = ""
    """`sqlite:///relative/path.db`, `sqlite:////absolute/path.db`, `sqlite:///:memory:`, or `postgresql://user@host/name`; empty:
    `.mulligan/mulligan.db`, searched upward from the working folder."""
    namespace: str = "default"
    """Task names are unique within it."""
    synchronous: str = "FULL"
    """SQLite: FULL survives a power cut, NORMAL may lose the last commits in one; neither ever corrupts."""
    schema: str = "mulligan"
    """PostgreSQL: the schema that holds the tables; made at the first use."""
    pool_size: int = 10
    """PostgreSQL: connections of a process at most, two more for its lock and its hints not counted."""
    pooler: str = "none"
    """PostgreSQL: `transaction` when a pooler in transaction mode (PgBouncer) is in between. Then nothing is kept in a session: a
    lost worker is noticed by its lease alone, and new work by looking once a second."""
    rules: str = ""
    """A file of the project's own failure rules, which come before the built-in ones."""
    processes: int = 0
    """Child processes of a worker; 0: one for each processor."""
    async_slots: int = 100
    """How many `async def` tasks a worker runs at once."""
    lease: float = 30.0
    """Seconds without a heartbeat after which a worker counts as lost although its process exists."""
    grace: float = 5.0
    """Seconds that a cancelled task has to stop by itself, before SIGTERM."""
    kill: float = 2.0
    """Seconds between SIGTERM and SIGKILL."""
    log_limit: int = 1_048_576
    """Bytes of output kept for an attempt."""
    retention: float = 30 * 86_400.0
    """Seconds for which the details of a finished job are kept; 0, or `never`: they are never removed."""
    bulk_rate: int = 1_000
    """Work items that a bulk operation retries, cancels or overwrites in a second, at most; 0: as many as can be."""
    artifacts: str = ""
    """Where artifacts with relative paths lie: a folder, or a URL such as `s3://bucket/folder`; empty: `.mulligan/artifacts`
    beside a store that is a file, else in the nearest `.mulligan` upward from the working folder."""
    host: str = "127.0.0.1"
    """Address at which `mulligan server` and `mulligan dev` serve the API."""
    port: int = 7878
    """Port of the API; 0: any that is free."""
    hosts: str = ""
    """Further names under which the API may be reached, with commas between: others are refused."""
    tls_certificate: str = ""
    """A file with the certificate of the server, and those that it hangs on."""
    tls_key: str = ""
    """A file with the key of that certificate."""
    behind_proxy: bool = False
    """Whether a proxy stands before the API that does TLS, so that it may be served to other machines without."""
    secrets: tuple[str, ...] = ()
    """References of secrets, `env:NAME` or `file:/path`, that are hidden in whatever is kept, also where no argument names them;
    what is submitted with one of them in the clear is refused."""
    server: str = ""
    """A server's URL, `https://mulligan.example.org`: clients and the command line ask it, in place of a store."""
    api_key: str = field(default="", repr=False)
    """The key by which the server is asked."""
    insecure: bool = False
    """Whether a key may be sent in the clear, to an http:// URL of another machine."""
    request_timeout: float = 60.0
    """Seconds for which a client sends a request again while the server is away."""
    root_path: str = ""
    """The path under which that proxy serves it, such as `/mulligan`; empty: at the root."""
    login_idle: float = 43_200.0
    """Seconds after which who is logged in by a browser, and has asked for nothing, has to log in again."""
    requests_per_second: int = 500
    """Requests of one key that a server takes in a second in the long run, four times as many at once; 0: any number."""
    metrics_open: bool = False
    """Whether `/metrics` is read without a key; only where the API is served to this machine alone, by no proxy."""

    @property
    def sqlite_path(self) -> str | None:
        """The file of the store, or `:memory:`; None where the store is a PostgreSQL database."""
        return self.database.removeprefix(SQLITE) if self.database.startswith(SQLITE) else None


def load_settings(start: Path | None = None, environ: Mapping[str, str] | None = None, /, **given: Any) -> Settings:
    """Return the settings that hold in a folder. Arguments that are None are taken as not given. Raises ConfigError."""
    start = (start or Path.cwd()).absolute()
    environ = os.environ if environ is None else environ
    values: dict[str, tuple[Any, str]] = {}
    file = _upward(start, FILE)
    if file is not None:
        _put_over(values, {key: (value, str(file)) for key, value in _read(file).items()})
    variables: dict[str, tuple[Any, str]] = {}
    for name in (each.name for each in fields(Settings)):
        variable = f"MULLIGAN_{name.upper()}"
        if environ.get(variable):
            variables[name] = (environ[variable], variable)
    _put_over(values, variables)
    _put_over(values, {name: (value, f"argument {name}") for name, value in given.items() if value is not None})
    checked = {name: _checked(name, value, where) for name, (value, where) in values.items()}
    if not checked.get("database"):  # where a server is named nothing makes a store unasked
        checked["database"] = "" if checked.get("server") else SQLITE + str(default_store(start))
    if checked["database"] and not checked["database"].startswith((SQLITE, *POSTGRES)):
        kind = checked["database"].partition(":")[0]  # the rest may hold a password
        raise ConfigError(f"database {kind!r}…: expected sqlite:///path.db or postgresql://user@host/name")
    _look_at_address(checked["database"])
    base = file.parent if file is not None and values.get("artifacts", ("", ""))[1] == str(file) else start
    checked["artifacts"] = _artifacts(checked.get("artifacts", ""), checked["database"], start, base)
    return Settings(**checked)


def check_store(settings: Settings) -> None:
    """Raise ConfigError where the settings name a server, and no store."""
    if not settings.database:
        raise ConfigError(
            f"this works on the store itself, but only a server is named, {settings.server}: name the store with --database, "
            "connect(…) or MULLIGAN_DATABASE"
        )


def default_store(start: Path) -> Path:
    """Return the file of the default store: in the nearest .mulligan folder upward, else in one to be made here."""
    folder = _upward(start, FOLDER)
    return (folder or start / FOLDER) / DEFAULT_STORE


def _put_over(values: dict[str, tuple[Any, str]], above: Mapping[str, tuple[Any, str]]) -> None:
    """Put settings over others that count for less: one store is another place than the server below it, and so is a server.

    A key of a file that names its server goes to no other.
    """
    if "database" in above and "server" not in above:
        values.pop("server", None)
    if "server" in above and "api_key" not in above and "server" in values and above["server"][0] != values["server"][0]:
        values.pop("api_key", None)
    values.update(above)


def _artifacts(given: str, database: str, start: Path, base: Path) -> str:
    """Return where artifacts lie, the same for all who use a store: an absolute path, or a URL."""
    if given:
        return given if "://" in given else str(base / given)
    store = start / database.removeprefix(SQLITE)
    if database.startswith(SQLITE) and store.name != ":memory:":
        return str((store.parent if store.parent.name == FOLDER else store.parent / FOLDER) / ARTIFACTS)
    return str((_upward(start, FOLDER) or start / FOLDER) / ARTIFACTS)


def _look_at_address(url: str) -> None:
    """Refuse a URL that would be taken apart at a character of the password: half of it would then be shown as the host."""
    if not url.startswith(POSTGRES):
        return
    rest = url.partition("://")[2]
    address, _, more = rest.partition("/")
    user, at, hosts = address.rpartition("@")
    fit = all(_HOST.fullmatch(each) for each in hosts.partition("?")[0].split(","))
    if not fit or "@" in user or "@" in more.partition("?")[0] or ("@" in more and not at) or _BAD_PERCENT.search(rest):
        raise ConfigError(
            "database: what stands between :// and the next / is not user:password@host:port; "
            "in a name or a password write % as %25, @ as %40, / as %2F, : as %3A"
        )


def _upward(start: Path, name: str) -> Path | None:
    for folder in (start, *start.parents):
        if (folder / name).exists():
            return folder / name
    return None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from error


_HOST = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^:\[\]]*)(:\d*)?")
_BAD_PERCENT = re.compile(r"%(?![0-9a-fA-F]{2})")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,49}")
_ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_SECRET = ("api_key", "secrets")
"""What no error shows."""
_MOST = {"port": 65_535}
_CHOICES = {"synchronous": ("FULL", "NORMAL"), "pooler": ("none", "transaction")}
_LEAST = {
    "request_timeout": 0,
    "pool_size": 2,
    "processes": 0,
    "async_slots": 1,
    "lease": 0.5,
    "grace": 0,
    "kill": 0,
    "log_limit": 1024,
    "port": 0,
    "login_idle": 60,
    "bulk_rate": 0,
    "requests_per_second": 0,
}


def _checked(name: str, value: Any, where: str) -> Any:
    kinds = {each.name: each.type for each in fields(Settings)}
    if name not in kinds:
        raise ConfigError(f"{where}: there is no setting {name!r}; there are {', '.join(sorted(kinds))}")
    try:
        result = _read_as(kinds[name], name, value)
    except (ValueError, ConfigError) as error:
        given = "…" if name in _SECRET else shown(value)  # where a reference is expected somebody may give the secret itself
        raise ConfigError(f"{where}: {name} = {given} is not valid: {error}") from None
    if name in _CHOICES and result not in _CHOICES[name]:
        raise ConfigError(f"{where}: {name} = {shown(value)}: expected {' or '.join(_CHOICES[name])}")
    if kinds[name] == "str":
        _look_at_text(name, result, where)
    if kinds[name] == "int" and result > (most := _MOST.get(name, 2**31 - 1)):
        raise ConfigError(f"{where}: {name} = {shown(value)}: expected at most {most:,}")
    if name == "retention" and 0 < result < 1:
        raise ConfigError(f"{where}: {name} = {shown(value)}: expected at least 1 s, or 'never'")
    if name in _LEAST and result < _LEAST[name]:
        raise ConfigError(f"{where}: {name} = {shown(value)}: expected at least {_LEAST[name]}")
    return result


def _look_at_text(name: str, result: str, where: str) -> None:
    if name == "namespace" and not result.strip():
        raise ConfigError(f"{where}: the namespace is empty; leave it out for 'default'")
    if name == "root_path" and result and not _ROOT_PATH.fullmatch(result):
        raise ConfigError(f"{where}: root_path = {shown(result)}: expected a path such as /mulligan, without a slash at its end")
    if name == "schema" and (not _SCHEMA.fullmatch(result) or result.startswith("pg_")):
        raise ConfigError(
            f"{where}: schema = {shown(result)}: expected small letters, digits and _, 50 at most, and no pg_ at its start"
        )


def _read_as(kind: Any, name: str, value: Any) -> Any:
    match kind:
        case "int":
            return int(str(value))
        case "bool":
            return _flag(value)
        case "tuple[str, ...]":
            return _references(value)
        case "float":
            return 0.0 if name == "retention" and value == "never" else seconds(value, name)
        case _:
            return _text(value)


def _flag(value: Any) -> bool:
    found = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(str(value).lower())
    if found is None:
        raise ConfigError("expected true or false")
    return found


def _references(value: Any) -> tuple[str, ...]:
    """Return references to secrets: of a list, or of a text with commas between them."""
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, (list, tuple)):
        raise ConfigError("expected a list such as ['env:NAME', 'file:/run/secrets/name']")
    return tuple(check_reference(each.strip() if isinstance(each, str) else each) for each in listed if each != "")


def _text(value: Any) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise ConfigError("expected a text")
    if any(each < " " or "\ud800" <= each <= "\udfff" for each in value):
        raise ConfigError("it holds control characters or half of a surrogate pair")
    return value

"""Tasks that do with a secret whatever might give it away."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import threading
from urllib.parse import quote

from mulligan import Context, PermanentError, Secret, task, workflow


@task
def shout(password: Secret) -> int:
    """Write it in every way, the last one in two pieces."""
    value = password.reveal()
    print("printed", value)
    sys.stderr.write(f"error {value}\n")
    print("url", f"https://ann:{quote(value, safe='')}@host")
    print("basic", base64.b64encode(f"ann:{value}".encode()).decode())
    print("repr", repr({"password": value}))
    sys.stdout.flush()
    subprocess.run(["sh", "-c", 'echo "started $X"; echo "and error $X" >&2'], env={**os.environ, "X": value}, check=True)
    half = len(value) // 2
    os.write(1, b"halves " + value[:half].encode())
    threading.Event().wait(0.05)
    os.write(1, value[half:].encode() + b" end\n")
    return len(value)


@task
def last_words(password: Secret) -> None:
    """Be killed with half of it written."""
    os.write(2, b"fatal: " + password.reveal().encode() + b"\n")
    os.kill(os.getpid(), signal.SIGKILL)


@task
async def whisper(password: Secret, name: str) -> str:
    print(name, password.reveal())
    return name


@task
def fail(password: Secret) -> None:
    value = password.reveal()
    try:
        raise OSError(f"connection to postgres://ann:{quote(value)}@host refused")
    except OSError as error:
        raise PermanentError(f"cannot log in with {value}") from error


@task
def give(password: Secret) -> dict[str, str]:
    return {"token": password.reveal()}


@task
def keep(ctx: Context, password: Secret) -> None:
    ctx.step(again, password)


def again(password: Secret) -> str:
    return f"Bearer {password.reveal()}"


@task
def submit_it(ctx: Context, password: Secret) -> None:
    plain.submit(password.reveal())


@task
def plain(text: str) -> str:
    print("plain", text)
    return "done"


@task
def from_the_environment(name: str) -> None:
    """Never told of a secret, and yet it gives one away."""
    print("environment", os.environ[name])
    raise Snoozed(os.environ[name])


class Snoozed(RuntimeError):
    """Named like another, to see that names do not matter."""


@workflow
def flow(password: Secret) -> int:
    return shout(password)


@workflow
def broken_flow(ctx: Context, password: Secret) -> None:
    ctx.log.info("begins", password=password)
    fail(password)

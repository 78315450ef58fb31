"""Tasks that people watch, cancel, retry and overwrite in a browser."""

from __future__ import annotations

import threading
from pathlib import Path

from mulligan import Context, Window, task

PATIENCE_S = 60.0


@task
def talk(folder: str) -> str:
    """Write what lies in the files 1, 2, 3 … of a folder, as each comes; end with the file that is called end."""
    for number in range(1, 100):
        while not (Path(folder) / str(number)).exists():
            if (Path(folder) / "end").exists():
                return "done"
            _until_any(Path(folder) / str(number), Path(folder) / "end")
        print((Path(folder) / str(number)).read_text("utf-8"), flush=True)
    return "done"


def _until_any(*paths: Path) -> None:
    pause = threading.Event()
    for _ in range(round(PATIENCE_S / 0.02)):
        if any(each.exists() for each in paths):
            return
        pause.wait(0.02)
    raise TimeoutError("nobody came")


@task(offline=True)
def load(number: int, fixed: str) -> int:
    """Fail until a file is there."""
    if not Path(fixed).exists():
        raise ValueError(f"table {number} is not there")
    return number


@task(online=True)
def publish(ctx: Context, window: Window) -> int:
    """Write rows of a day to an online store."""
    ctx.output(rows=812)
    return 812


@task
def wait(ctx: Context) -> None:
    """Run until somebody asks it to stop."""
    pause = threading.Event()
    for _ in range(round(PATIENCE_S / 0.02)):
        ctx.progress(1, 2)
        pause.wait(0.02)


@task
def hostile() -> None:
    """Fail with a text that would take over a page or a terminal."""
    text = "<script>document.title='taken over'</script> \x1b[31mred\x1b[0m NUL \0 end"
    print(text, flush=True)
    raise ValueError(text)


@task
def tick(number: int) -> int:
    """Take a moment."""
    threading.Event().wait(0.005)
    return number

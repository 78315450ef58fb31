"""What lies beside the tasks' file, and what becomes of that file while workers run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from story_harness import World, outcomes, until

from mulligan import JobStatus

FLOW = """
import os
from pathlib import Path
from mulligan import Context, task

@task(retries=3)
def version(ctx: Context) -> str:
    return "VERSION"

@task
def dies() -> None:
    os._exit(1)

@task
def until_there(trace: str, awaited: str) -> str:
    import time
    Path(trace).touch()
    while not Path(awaited).exists():
        time.sleep(0.005)
    return "VERSION"
"""
SHADOWED = ("queue", "random", "logging", "json", "inspect", "select", "struct", "socket", "string", "traceback")


def a_flow(folder: Path, version: str) -> Path:
    """Write the tasks in one version, all at once as deployments do."""
    file = folder / "flow.py"
    half = folder / "flow.half"
    half.write_text(FLOW.replace("VERSION", version))
    half.rename(file)
    return file


def _output(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    return subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=False).stdout


@pytest.mark.parametrize(
    "how", [["-m", "mulligan"], ["-m", "mulligan.cli.main"], [str(Path(sys.executable).with_name("mulligan"))]]
)
def test_files_beside_the_tasks_file_may_be_named_like_modules_of_the_standard_library(file_world: World, how: list[str]) -> None:
    world = file_world
    folder = world.folder / "project"
    folder.mkdir()
    for name in (*SHADOWED, *(["types"] if len(how) == 1 else [])):  # Python itself loads `types` before it comes to `-m`
        (folder / f"{name}.py").write_text(f"raise RuntimeError('the {name} beside the tasks')\n")
    flow = a_flow(folder, "one")
    flow.write_text(flow.read_text().replace("import os\n", "import helper, json, os, queue, random\n"))
    (folder / "helper.py").write_text("VALUE = 1\n")
    environment = {**os.environ, "MULLIGAN_DATABASE": world.settings["database"]}
    with subprocess.Popen([sys.executable, *how, "worker", flow.name], cwd=folder, env=environment) as worker:
        try:
            until(lambda: world.store.exists() or worker.poll() is not None, "the worker makes the store")
            submit = [sys.executable, *how, "submit", "version", "--wait"]
            said = until(lambda: _output(submit, folder, environment), "the worker has published its task")
            assert "Result: 'one'" in said
        finally:
            worker.terminate()
    assert worker.returncode == 0


def test_a_task_file_named_like_a_module_of_the_standard_library_is_refused_with_advice(world: World) -> None:
    (world.folder / "random.py").write_text(FLOW)
    worker = world.worker(world.folder / "random.py", wait=False)
    assert worker.wait() == 1
    assert "belongs to another module (of the standard library); rename the file" in worker.said


def test_a_worker_whose_forkserver_cannot_live_says_why_and_ends(world: World) -> None:
    folder = world.folder / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os, sys\nif 'process.forkserver' in str(sys.orig_argv):\n    os.write(2, b'not here, not now\\n'); os._exit(3)\n"
    )
    worker = world.worker(a_flow(world.folder, "one"), wait=False, python_path=str(folder))
    assert worker.wait() == 1
    assert worker.said.count("not here, not now") == 3
    assert "mulligan: child processes cannot be started" in worker.said
    assert "exit code 3" in worker.said


def test_after_an_edit_warm_children_go_on_and_the_first_new_one_ends_the_worker_with_no_item_failed(world: World) -> None:
    worker = world.worker(a_flow(world.folder, "one"), processes=1)
    client = world.client
    assert client.submit("version").result() == "one"
    a_flow(world.folder, "two")
    assert client.submit("version").result() == "one"
    assert client.submit("dies").wait(20).status is JobStatus.FAILURE
    job = client.submit("version")
    assert worker.wait() == 1
    assert "source files have changed since this worker loaded them" in worker.said
    assert "flow.py" in worker.said
    assert job.refresh().status is JobStatus.PENDING
    assert job.work_items()[0].attempts() == []
    world.worker(world.folder / "flow.py", processes=1)
    assert job.result() == "two"
    world.check()


def test_what_runs_while_the_worker_learns_of_an_edit_may_end(world: World) -> None:
    worker = world.worker(a_flow(world.folder, "one"), processes=2)
    running = world.client.submit("until_there", trace=world.path("trace"), awaited=world.path("go"))
    until(lambda: Path(world.path("trace")).exists(), "it runs")
    a_flow(world.folder, "two")
    world.client.submit("dies")
    until(lambda: "source files have changed" in worker.said, "the worker learns of it")
    world.touch("go")
    assert running.result() == "one"
    assert worker.wait() == 1


@pytest.mark.parametrize("text", ["def half(", "import nothing_of_this_name\n"])
def test_a_file_saved_half_fails_no_item(world: World, text: str) -> None:
    flow = a_flow(world.folder, "one")
    worker = world.worker(flow, processes=1)
    assert world.client.submit("version").result() == "one"
    flow.write_text(text)
    world.client.submit("dies").wait(20)
    job = world.client.submit("version")
    assert worker.wait() == 1
    assert (job.refresh().status, outcomes(job.work_items()[0])) == (JobStatus.PENDING, [])
    world.worker(a_flow(world.folder, "two"), processes=1)
    assert job.result() == "two"
    world.check()

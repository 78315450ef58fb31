from __future__ import annotations

import hashlib
import json
import signal
import time

import pytest
from process_harness import INFO, Harness

from mulligan.core.failure import Kind
from mulligan.worker.executors.interface import Call, Failed, Progressed, Returned, Snoozed, Stopped, Succeeded
from mulligan.worker.executors.process.health import LOADS


def test_a_result_comes_back_as_json_with_its_times(run: Harness) -> None:
    before = time.time_ns() // 1_000_000
    end = run.end(run.start("add", a=2, b=3))
    after = time.time_ns() // 1_000_000
    assert isinstance(end, Succeeded)
    assert end.result == "5"
    assert before <= end.started_ms <= end.ended_ms <= after
    assert end.pid > 0


def test_an_exception_comes_back_as_facts_with_the_users_frames(run: Harness) -> None:
    end = run.end(run.start("fail", message="no such column"))
    assert isinstance(end, Failed)
    assert end.failure.kind is Kind.EXCEPTION
    assert end.failure.chain[0].types[0] == "ValueError"
    assert end.failure.chain[0].message == "no such column"
    assert "raise ValueError(message)" in end.failure.traceback
    assert not end.failure.crashed


def test_snooze_is_not_a_failure(run: Harness) -> None:
    end = run.end(run.start("snooze"))
    assert isinstance(end, Snoozed)
    assert end.delay_s == 90


def test_sys_exit_is_a_failure_with_its_code_and_the_child_lives_on(run: Harness) -> None:
    end = run.end(run.start("leave", code=7))
    assert (end.failure.kind, end.failure.exit_code, end.failure.crashed) == (Kind.EXIT, 7, False)
    assert run.end(run.start("pid")).pid


def test_a_keyboard_interrupt_that_nobody_asked_for_is_a_failure(run: Harness) -> None:
    end = run.end(run.start("interrupt"))
    assert isinstance(end, Failed)
    assert end.failure.chain[0].types[0] == "KeyboardInterrupt"


def test_an_unknown_task_fails_and_says_where_it_was_looked_for(run: Harness) -> None:
    end = run.end(run.start("nonsense"))
    assert "no task is named 'nonsense'" in end.failure.chain[0].message
    assert "process_tasks.py" in end.failure.chain[0].message


def test_os_exit_is_a_crash_with_its_code(run: Harness) -> None:
    end = run.end(run.start("vanish", code=3))
    assert (end.failure.kind, end.failure.exit_code, end.failure.crashed) == (Kind.EXIT, 3, True)
    assert "exit code 3" in end.failure.message
    assert end.started_ms is not None


def test_a_segmentation_fault_is_a_crash_with_its_signal(run: Harness) -> None:
    end = run.end(run.start("crash"))
    assert (end.failure.kind, end.failure.signal, end.failure.crashed) == (Kind.SIGNAL, signal.SIGSEGV, True)
    assert "SIGSEGV" in end.failure.message


def test_a_term_signal_that_nobody_here_sent_kills_the_child(run: Harness) -> None:
    end = run.end(run.start("own_signal", number=int(signal.SIGTERM)))
    assert (end.failure.kind, end.failure.signal, end.failure.crashed) == (Kind.SIGNAL, signal.SIGTERM, True)


def test_rows_written_before_a_crash_are_known(run: Harness) -> None:
    assert run.end(run.start("write_then_vanish", info=INFO)).rows == 3


def test_after_a_crash_the_next_attempt_runs(run: Harness) -> None:
    for _ in range(4):
        assert run.end(run.start("vanish", code=1)).failure.crashed
    assert run.end(run.start("add", a=1, b=1)).result == "2"


def test_a_copy_made_by_fork_does_not_speak_for_the_attempt(run: Harness) -> None:
    assert run.end(run.start("fork_and_return")).result == '"parent"'


def test_children_do_not_share_their_random_numbers(run: Harness) -> None:
    ends = run.ends([run.start("roll"), run.start("roll")])
    assert ends[0].pid != ends[1].pid
    assert ends[0].result != ends[1].result


def test_a_megabyte_travels_both_ways(run: Harness) -> None:
    text = "ü" * 1_000_000
    ids = run.batch("echo", [{"text": text} for _ in range(6)])
    # The limit on values is the sdk's; the wire itself carries more.
    for end in run.ends(ids):
        assert isinstance(end, (Succeeded, Failed))
        said = end.result if isinstance(end, Succeeded) else end.failure.chain[0].message
        assert said


def test_memory_beyond_the_limit_is_said_to_be_that_and_the_limit_ends_with_the_attempt(run: Harness) -> None:
    end = run.end(run.start("eat", megabytes=400, memory_bytes=100 << 20))
    assert end.failure.kind is Kind.OUT_OF_MEMORY
    assert run.end(run.start("eat", megabytes=20, memory_bytes=200 << 20)).result == str(20 << 20)
    for one in run.batch("eat", [{"megabytes": 400}] * 2):
        assert run.end(one).result == str(400 << 20)


def test_steps_progress_and_rows_reach_the_worker(run: Harness) -> None:
    one = run.start("reckon", info=INFO)
    call = run.until(lambda: next((r for r in run.reports if isinstance(r, Call)), None))
    assert (call.id, call.name, json.loads(call.payload)["value"]) == (one, "step", "42")
    run.executor.answer(one, call.call, "null", None)
    end = run.end(one)
    assert (end.result, end.rows) == ("42", 7)
    told = [report.done for report in run.reports if isinstance(report, Progressed)]
    assert told[-1] == 1000
    assert len(told) < 100, "progress is thinned out"


def test_an_error_in_answer_to_a_call_is_raised_in_the_task(run: Harness) -> None:
    one = run.start("reckon", info=INFO)
    call = run.until(lambda: next((r for r in run.reports if isinstance(r, Call)), None))
    run.executor.answer(one, call.call, None, "lease_lost: the attempt belongs to another worker")
    end = run.end(one)
    assert end.failure.chain[0].types[0] == "mulligan.core.errors.LeaseLost"


def test_a_single_attempt_is_reported_as_started_before_it_ends(run: Harness, tmp_path) -> None:
    one = run.start("wait_for_file", path=str(tmp_path / "go"))
    started = run.started(one)
    assert run.ended(one) is None
    (tmp_path / "go").touch()
    end = run.end(one)
    assert started.pid == end.pid
    assert abs(started.at_ms - end.started_ms) < 1000


def test_a_module_that_children_cannot_load_is_no_attempt_s_fault_and_is_not_tried_for_ever(make, tmp_path) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    told: list[str] = []
    run = make(sources=[str(tmp_path / "broken.py")], tell=lambda event, **facts: told.append(f"{event} {facts}"))
    ends = run.ends([run.start("any"), run.start("any"), run.start("any")])
    assert [type(end) for end in ends] == [Returned] * 3
    run.until(lambda: run.executor.trouble)
    assert "nothing_of_this_name" in run.executor.trouble
    assert sum("could not load the tasks" in each for each in told) == LOADS
    assert isinstance(run.end(run.start("any")), Returned)
    assert (run.executor.room(), run.executor.slots_for("any"), run.executor.room_for("any")) == (0, 0, 0)


def test_a_module_that_children_can_load_at_the_third_try_is_all_right(make, tmp_path) -> None:
    tries = tmp_path / "tries"
    (tmp_path / "shy.py").write_text(
        f"from mulligan import task\nopen({str(tries)!r}, 'a').write('x')\nassert len(open({str(tries)!r}).read()) > 2\n"
        "@task\ndef any():\n    return 1\n"
    )
    run = make(sources=[str(tmp_path / "shy.py")], processes=1)
    run.until(lambda: any(isinstance(run.end(run.start("any")), Succeeded) for _ in range(3)))
    assert run.executor.trouble is None


def test_a_child_that_finds_other_code_than_the_worker_has_is_not_used(make, tmp_path) -> None:
    flow = tmp_path / "flow.py"
    flow.write_text("from mulligan import task\n@task\ndef any():\n    return 1\n@task\ndef die():\n    import os; os._exit(1)\n")
    run = make(sources=[str(flow)], processes=1, code={str(flow): hashlib.sha256(flow.read_bytes()).hexdigest()})
    assert run.end(run.start("any")).result == "1"
    flow.write_text("from mulligan import task\n@task\ndef any():\n    return 2\n")
    assert run.end(run.start("any")).result == "1", "what is warm has the code that the worker has"
    assert isinstance(run.end(run.start("die")), Failed)
    assert isinstance(run.end(run.start("any")), Returned)
    assert str(flow) in run.executor.trouble


def test_a_module_that_kills_its_process_does_not_start_a_storm(make, tmp_path) -> None:
    log = tmp_path / "starts"
    (tmp_path / "deadly.py").write_text(f"import os\nopen({str(log)!r}, 'a').write('x')\nos._exit(9)\n")
    run = make(sources=[str(tmp_path / "deadly.py")])
    end = run.end(run.start("any"))
    assert (end.failure.kind, end.failure.exit_code, end.failure.crashed) == (Kind.EXIT, 9, True)
    assert "imported" in end.failure.message
    run.until(lambda: run.executor.room() == 0)
    assert log.stat().st_size <= 8


def test_stopping_what_has_not_started_gives_it_back(run: Harness) -> None:
    waiting = [run.start("wait", info=INFO) for _ in range(2)]
    behind = run.start("add", a=1, b=1)
    run.executor.stop(behind, "cancel")
    assert run.end(behind) == Returned(behind)
    for one in waiting:
        run.executor.stop(one, "drain")
        assert isinstance(run.end(one), (Stopped, Returned))


def test_room_is_what_can_start_at_once(run: Harness) -> None:
    assert run.executor.room() == 2
    assert run.executor.room(asynchronous=True) == 100
    one = run.start("wait", info=INFO)
    assert run.executor.room() == 1
    assert run.executor.room_for("wait") == 1
    run.executor.stop(one, "cancel")
    run.end(one)
    run.until(lambda: run.executor.room() == 2 or None)


def test_more_room_is_told_for_tasks_measured_to_be_short(run: Harness) -> None:
    assert run.executor.room_for("add") == 2
    for _ in range(20):
        run.end(run.start("add", a=1, b=1))
    assert run.executor.room_for("add") > 50


_RUDE = """
import io, logging, os, signal, subprocess, sys, tempfile
from mulligan import Context, task

left = {}

@task
def rewrap() -> int:
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
    sys.stderr = io.TextIOWrapper(sys.stderr.detach(), encoding="latin-1")
    print("wrapped", end="")
    return os.getpid()

@task
def shut() -> int:
    sys.stdout.close()
    sys.stderr = None
    os.close(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    return os.getpid()

@task
def wander() -> int:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(1000)
    return os.getpid()

def surroundings():
    mask = os.umask(0)
    os.umask(mask)
    shell = subprocess.run(["sh", "-c", "echo $RUDE $HOME; umask"], capture_output=True, text=True).stdout
    return [os.getpid(), sorted(os.environ.items()), shell, mask, sys.path, logging.root.manager.disable]

@task
def look() -> list[object]:
    return surroundings()

@task
async def a_look() -> list[object]:
    return surroundings()

@task
def rearrange() -> int:
    os.environ["RUDE"] = "yes"
    os.environ["HOME"] = "/nowhere"
    del os.environ["PATH"]
    os.environ = {"all": "mine"}
    sys.path = ["/nowhere"]
    os.umask(0o777)
    logging.disable(logging.CRITICAL)
    return os.getpid()

@task
async def a_rearrange() -> int:
    os.environ.clear()
    sys.path.insert(0, "/nowhere")
    os.umask(0)
    logging.disable()
    return os.getpid()

@task
def speak(word: str) -> list[object]:
    print(word, "printed")
    sys.stderr.write(word + " complained\\n")
    os.write(1, (word + " raw\\n").encode())
    os.write(2, (word + " raw error\\n").encode())
    return [os.getpid(), os.getcwd(), signal.getitimer(signal.ITIMER_REAL)[0]]

@task
async def a_rewrap() -> int:
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
    sys.stderr.close()
    return os.getpid()

@task
async def a_speak(word: str) -> list[object]:
    return speak(word)

@task
def fork_and_tell(ctx: Context) -> str:
    read, write = os.pipe()
    if os.fork() == 0:
        said = []
        for tell in (lambda: ctx.progress(1, 2), lambda: ctx.output(rows=1), lambda: ctx.step(int, 1)):
            try:
                tell()
            except Exception as error:
                said.append(type(error).__name__)
        os.write(write, ",".join(said).encode())
        os._exit(0)
    os.wait()
    return os.read(read, 1000).decode()

@task
def leave_ctx(ctx: Context) -> int:
    left["ctx"] = ctx
    return os.getpid()

@task
def use_left_ctx() -> str:
    try:
        left["ctx"].step(int, 1)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "answered"
"""


@pytest.fixture
def rude(make, tmp_path) -> Harness:
    (tmp_path / "rude.py").write_text(_RUDE)
    return make(sources=[str(tmp_path / "rude.py")], processes=1)


@pytest.mark.parametrize("rudeness", ["rewrap", "shut", "wander", "a_rewrap"])
def test_what_an_attempt_does_to_its_process_does_not_reach_the_next_one(rude: Harness, rudeness: str) -> None:
    speak = "a_speak" if rudeness.startswith("a_") else "speak"
    folder = json.loads(rude.end(rude.start(speak, word="before")).result)[1]
    pid = int(rude.end(rude.start(rudeness)).result)
    one = rude.start(speak, word="after")
    assert json.loads(rude.end(one).result) == [pid, folder, 0.0]
    for text in ("after printed\n", "after complained\n", "after raw\n", "after raw error\n"):
        rude.logged(one, text)


@pytest.mark.parametrize("kind", ["", "a_"])
def test_environment_umask_path_and_logging_are_put_back_after_an_attempt(rude: Harness, kind: str) -> None:
    before = rude.end(rude.start(f"{kind}look")).result
    assert rude.end(rude.start(f"{kind}rearrange")).result == str(json.loads(before)[0])
    assert rude.end(rude.start(f"{kind}look")).result == before


def test_output_in_a_wrapper_of_the_tasks_own_belongs_to_its_attempt(rude: Harness) -> None:
    one = rude.start("rewrap")
    rude.end(one)
    assert rude.log(one) == "wrapped"


def test_the_context_refuses_to_work_in_a_forked_process(rude: Harness) -> None:
    assert rude.end(rude.start("fork_and_tell", info=INFO)).result == '"Refused,Refused,Refused"'


def test_a_call_on_the_context_of_an_ended_attempt_raises_lease_lost(rude: Harness) -> None:
    rude.end(rude.start("leave_ctx", info=INFO))
    assert rude.end(rude.start("use_left_ctx", info=INFO)).result == '"LeaseLost: this attempt has ended"'

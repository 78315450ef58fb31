"""Bugs that others had, each as the few lines that bring it back; what they replace must be in the code once, to the letter."""

from __future__ import annotations

from typing import NamedTuple

SIMULATION = "simulation"
MACHINE = "tests/engine/test_state_machine.py::TestLife"


class Bug(NamedTuple):
    """A bug: what it is, where it was, how it is brought back, and what is asked to find it."""

    name: str
    seen: str
    """Where others had it, or the class of bugs that it stands for."""
    file: str
    """Below `src/mulligan`."""
    right: str
    wrong: str
    finder: str = SIMULATION
    """The simulation, or a part of the suite."""


HERE = "tests/testing/test_workflows_here.py"
REPLAY, CALLING = "core/replay.py", "engine/calling.py"
LIFE, ENGINE, WORKER = "core/lifecycle.py", "engine/engine.py", "worker/worker.py"
SQL, COMMON, ITEMS = "store/sql/sqlite.sql", "store/sql/common.sql", "store/verbs/items.py"

BUGS = (
    Bug(
        "an outcome is taken from whoever had the item once",
        "River's finish looks at the state only; Oban, Procrastinate",
        LIFE,
        "item.status is STARTED and item.token == run.token and item.worker == run.worker",
        "item.status is STARTED",
        MACHINE,
    ),
    Bug(
        "the rescuer overwrites what has changed since it looked",
        "River #1302",
        SQL,
        "where items.job = v.job and items.number = v.number and items.version = v.expected",
        "where items.job = v.job and items.number = v.number",
    ),
    Bug(
        "workers that were busy for a lease are taken for dead",
        "hexpm #1825, River #682, Celery #5935",
        "supervisor/safety.py",
        "if seen is None or seen.beat != worker.beat:",
        "if seen is None:",
    ),
    Bug(
        "an observer that stood still takes the others for dead",
        "MailFathom #1989, mlflow #25199",
        "supervisor/safety.py",
        "seen.still_s += min(now - seen.looked, 2 * LOOK_S)",
        "seen.still_s += now - seen.looked + LOOK_S",
        "tests/engine/test_reaping.py",
    ),
    Bug(
        "a lost worker is closed before all its items are taken back",
        "Procrastinate #1518, Oban #862",
        ENGINE,
        "                if len(items) < PAGE:\n                    session.workers.close(worker, now_ms)",
        "                session.workers.close(worker, now_ms)",
    ),
    Bug(
        "what a lost worker held stays held when its finder dies",
        "River #1258: running for 91 days",
        "supervisor/safety.py",
        "if not (worker.ended or still or free):",
        "if worker.ended or not (still or free):",
    ),
    Bug(
        "a claim whose answer was lost is held for ever",
        "DBOS py #716, FoundationDB's commit_unknown_result",
        WORKER,
        "            self._engine.give_back(self._worker, self._known())",
        "            pass",
    ),
    Bug(
        "a claim whose answer was lost is taken for a failure",
        "the same",
        ENGINE,
        "self._apply(session, [(item, Released(Run(item.token, worker, now_ms))) for item in unknown], now_ms, Ends())",
        'self._apply(session, [(item, WorkerLost(Run(item.token, worker, now_ms), "?")) for item in unknown], now_ms, Ends())',
        "tests/engine/test_reaping.py",
    ),
    Bug(
        "an outcome is forgotten when the store is away",
        "Orion #184, LabKey #5363",
        WORKER,
        "exchange(self._worker, self._ended, list(self._names), room, self._notes, replays=replays)\n",
        "exchange(self._worker, self._ended, list(self._names), room, self._notes, replays=replays)\n",
    ),
    Bug(
        "the count of a job is not changed by a claim",
        "counters beside rows",
        ITEMS,
        "        self.count((row[0], STATUS[row[6]], JobStatus.STARTED) for row in found)\n",
        "",
    ),
    Bug(
        "a job that is wanted again still counts as ended",
        "counters beside rows",
        SQL,
        "                    then coalesce(jobs.ended_ms, :now) end",
        "                    then coalesce(jobs.ended_ms, :now) else jobs.ended_ms end",
    ),
    Bug(
        "a cancellation is lost where the attempt fails",
        "Procrastinate #1131, term-llm #790",
        LIFE,
        "        case _ if item.cancel_ms is not None:\n            return _cancelled(item, event, now_ms)\n",
        "",
        MACHINE,
    ),
    Bug(
        "a cancelled job's items are still claimed",
        "Procrastinate #511",
        SQL,
        "    and i.job not in (select id from jobs where cancel_ms is not null and ended_ms is null)\n",
        "",
        "tests/engine/test_commands.py",
    ),
    Bug(
        "a worker never hears that its attempt was cancelled",
        "Temporal features #105",
        WORKER,
        '                self._executor.stop(id, "cancel")',
        "                pass",
    ),
    Bug(
        "the budget is counted anew for every attempt",
        "secator #1296, taskiq #35",
        LIFE,
        "return tuple(count + (place == entry) for place, count in enumerate(full))",
        "return tuple(int(place == entry) for place, _ in enumerate(full))",
    ),
    Bug(
        "one attempt more than the policy allows",
        "off by one",
        LIFE,
        "if charged is not None and charged >= found[1].max_attempts:",
        "if charged is not None and charged > found[1].max_attempts:",
    ),
    Bug(
        "a poison pill kills its process for ever",
        "Sidekiq #4633, Oasis #975",
        LIFE,
        "    if event.crashed and crashes >= POISON_CRASHES:\n        return Reason.POISON\n",
        "",
        "tests/core/test_lifecycle.py",
    ),
    Bug(
        "what runs at most once runs again when its worker was lost",
        "Oban's Lifeline: may transition jobs that are executing",
        LIFE,
        "    if policy.at_most_once:\n        unknown",
        "    if outcome is Outcome.LOST:\n        return None\n    if policy.at_most_once:\n        unknown",
        MACHINE,
    ),
    Bug(
        "a started attempt that is handed back does not count",
        "Hatchet #552, #1022",
        LIFE,
        "attempt=item.attempt - 1)",
        "attempt=item.attempt)",
    ),
    Bug(
        "a retry starts what runs",
        "kubeflow #13508, twenty #25248",
        LIFE,
        "    if item.status not in (FAILURE, REVOKED):\n        return None\n    fresh",
        "    if item.status in WAITING:\n        return None\n    fresh",
        "tests/core/test_lifecycle.py",
    ),
    Bug(
        "two people who retry at once start two generations",
        "runs-on #263, langwatch #7529",
        "engine/matching.py",
        "            seen = dict(zip(target.items, target.generations, strict=False))\n            keys",
        "            seen: dict[ItemKey, int] = {}\n            keys",
        "tests/engine/test_commands.py",
    ),
    Bug(
        "a run id is accepted and not enforced",
        "dify #39685, apify #990",
        "engine/submitting.py",
        "    if row.input_digest != digest:",
        "    if False:",
        "tests/engine/test_submissions.py",
    ),
    Bug(
        "half a submission is there when its submitter dies",
        "celery groups",
        "engine/submitting.py",
        "held = self.defaults(submission, published, start_ms)._replace(wait=Wait.SUBMITTING, due_ms=FAR_FUTURE_MS)",
        "held = self.defaults(submission, published, start_ms)",
        "tests/engine/test_submissions.py",
    ),
    Bug(
        "a checkpoint of an attempt that is over is taken",
        "speculators #739, Lightning #688",
        COMMON,
        "where job = :job and number = :number and token = :token and worker = :worker and status = 'STARTED')",
        "where job = :job and number = :number and :token + :worker > 0)",
    ),
    Bug(
        "a step is answered before it is saved",
        "write-behind checkpoints",
        WORKER,
        "        self._calls.append((call.id, call.call))",
        '        self._executor.answer(call.id, call.call, "null", None)',
    ),
    Bug(
        "recover starts from nothing",
        "start over where one could go on",
        LIFE,
        "return Transition(item, fresh.but(reason=Reason.RECOVERED))",
        "return Transition(item, fresh.but(reason=Reason.RECOVERED, keep_from=fresh.generation))",
    ),
    Bug(
        "restart goes on from old steps",
        "stale checkpoints",
        LIFE,
        "return Transition(item, fresh.but(reason=Reason.RESTARTED, keep_from=fresh.generation))",
        "return Transition(item, fresh.but(reason=Reason.RESTARTED))",
    ),
    Bug(
        "what waits for its time is started at once",
        "node-cron #563 and kin",
        SQL,
        "i.status in ('PENDING', 'RETRY') and i.due_ms <= :now\n    and (i.deadline_ms",
        "i.status in ('PENDING', 'RETRY') and :now > 0\n    and (i.deadline_ms",
    ),
    Bug(
        "something starts after its deadline",
        "Temporal #1220",
        SQL,
        "    and (i.deadline_ms is null or i.deadline_ms > :now)\n    and i.job not in",
        "    and i.job not in",
    ),
    Bug(
        "a paused task is started",
        "pause as a filter in the page only",
        SQL,
        "    where t.value not in (select id from tasks where paused_ms is not null)\n",
        "    where true\n",
    ),
    Bug(
        "concurrency is counted by each worker for itself",
        "PgQueuer #474",
        "engine/claiming.py",
        "limit = min(limit, at_once - self._session.items.running(head.task))",
        "limit = min(limit, at_once)",
    ),
    Bug(
        "a wait is longer than its jitter allows",
        "backoff formulas",
        "core/retry.py",
        "        return wait_s * (1 + float(self.jitter) * fraction)",
        "        return wait_s * (1 + 9 * float(self.jitter) * fraction)",
        "tests/core/test_retry.py",
    ),
    Bug(
        "a clock that was set back makes attempts overlap",
        "Redis and Kombu score by time.time()",
        SQL,
        "else max(:now, coalesce((select ended_ms from attempts a where a.job = items.job and a.number = items.number\n"
        "                                 order by a.token desc limit 1), 0)) end",
        "else :now end",
    ),
    Bug(
        "a worker hears nothing more once a hint was lost",
        "Celery #8030, graphile-worker #541, bullmq #4729",
        WORKER,
        "self._look_at = self._clock.monotonic() + min(wait_s, IDLE_S)",
        'self._look_at = float("inf") if due_ms is None else self._clock.monotonic() + wait_s',
    ),
    Bug(
        "windows in order start all at once",
        "order kept in memory",
        LIFE,
        "due_ms=FAR_FUTURE_MS if event.held else max(now_ms, item.ended_ms or 0),",
        "due_ms=max(now_ms, item.ended_ms or 0),",
        MACHINE,
    ),
    Bug(
        "text that a database cannot hold loses its outcome",
        "Hatchet #3276, airflow #70385, kestra #10653",
        ITEMS,
        "    except PydanticSerializationError:\n",
        "    except ZeroDivisionError:\n",
        "tests/engine/test_reaping.py",
    ),
    Bug(
        "days follow the clock and not the calendar",
        "node-cron #563, rundeck #6879",
        "core/schedule.py",
        "return to_ms(self.first + timedelta(days=place * self.days))",
        "return self.start_ms + place * self.days * _DAY_MS",
        "tests/core/test_schedule.py",
    ),
    Bug(
        "a workflow that is retried runs what had succeeded again",
        "argo-workflows #12009",
        REPLAY,
        "    if past.status is JobStatus.SUCCESS or past.round == round:\n",
        "    if past.round == round:\n",
        HERE,
    ),
    Bug(
        "who fans out is not told that the last call has ended",
        "argo-workflows #16938: a fan-out that never completes",
        CALLING,
        "            ends.callers |= set(session.calls.arrive(called))\n",
        "            pass\n",
        HERE,
    ),
    Bug(
        "of several calls that failed only one is retried, and the others are waited for in vain",
        "durabletask #811",
        CALLING,
        "        items = session.items.read(given)\n",
        "        items = session.items.read(given)[:1]\n",
        HERE,
    ),
    Bug(
        "a cancellation ends a workflow and lets what it called run on",
        "a cancel that is lost on its way down",
        CALLING,
        "            for job in verbs.flag_cancel(cancelled, now_ms):\n",
        "            for job in ():\n",
        "tests/engine/test_calls.py",
    ),
    Bug(
        "a retry runs again what may run once, although nobody knows whether it did",
        "retries of a parent that know nothing of at most once",
        REPLAY,
        "        return Step.UNKNOWN\n",
        "        return Step.RUN_AGAIN\n",
        "tests/core/test_replay.py",
    ),
    Bug(
        "calls whose commit was not answered are made twice",
        "FoundationDB's commit_unknown_result, once more",
        CALLING,
        "(row := rows.get(each.place)) and row[2:] == (each.digest, round)}",
        "(row := rows.get(each.place)) and row[2:] == ()}",
        "tests/engine/test_calls.py",
    ),
)

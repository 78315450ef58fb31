"""`/api/trends` and `/metrics`: figures as programs and Prometheus read them, for whom they are."""

from __future__ import annotations

import csv
import io
import re
import subprocess
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from api_harness import ADD, FEATURES, Api
from prometheus_client.parser import text_string_to_metric_families

from mulligan.api import metrics
from mulligan.api.metrics import OTHER
from mulligan.api.serving import Place
from mulligan.core.access import Role
from mulligan.core.errors import ConfigError
from mulligan.core.job import FailureClass
from mulligan.core.submission import NewItem
from mulligan.testing.factories import a_definition

PROMTOOL = which("promtool")
PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text("utf-8")


def lived(api: Api) -> None:
    """Have things succeed, fail, be retried, recover, wait and be paused."""
    api.failed(2)
    api.succeeded(FEATURES, 3)
    api.harness.submit(FEATURES, [NewItem("day", "{}", (0, 86_400_000))])
    worker = api.worker(FEATURES)
    item = worker.take()
    api.harness.clock.pass_(5)
    worker.fail(item, FailureClass.TRANSIENT, failure=None)
    api.harness.clock.pass_(400)
    worker.succeed(worker.take())
    api.harness.submit(ADD)
    api.harness.clock.pass_(30)
    api.post("/api/pipelines/features/pause")


def scraped(api: Api, apikey: str | None = None) -> dict[tuple[str, ...], float]:
    """Return what is read at `/metrics`: by name and values of labels, in the order of the labels."""
    found = api.call("GET", "/metrics", apikey=apikey)
    assert found.status_code == 200, found.text
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(found.text)
        for sample in family.samples
    }


def test_trends_are_of_each_pipeline_and_of_all(api: Api) -> None:
    lived(api)
    items = api.get("/api/trends", every="day")["items"]
    found = {each["pipeline"]: each["figures"] for each in items}
    assert list(found) == ["add", "features", None]
    assert (found["add"]["success_rate"], found["features"]["success_rate"]) == (0.0, 1.0)
    assert (found["features"]["first_try_rate"], found["features"]["retries"]) == (0.75, {"TRANSIENT": 1})
    assert (found["features"]["automatic"]["mean_s"], found["features"]["lost_s"]) == (400.0, 5.0)
    assert (found[None]["succeeded"], found[None]["failed"]) == (4, 2)
    assert found["add"]["recoveries"] == {"count": 0, "mean_s": None, "p50_s": None, "p90_s": None}


def test_trends_are_a_table_for_who_asks_for_one(api: Api) -> None:
    api.harness.publish(a_definition("=1+1"))
    lived(api)
    api.succeeded(a_definition("=1+1"))
    for more in ({"params": {"format": "csv"}}, {"headers": {"accept": "text/csv"}}):
        found = api.call("GET", "/api/trends", **more)
        assert found.headers["content-type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(found.text)))
        assert [row["pipeline"] for row in rows] == ["'=1+1", "add", "features", ""]
        assert (rows[2]["success_rate"], rows[2]["retries_TRANSIENT"], rows[1]["recoveries_p50_s"]) == ("1.0", "1", "")


@pytest.mark.parametrize(
    "query", [{"every": "month"}, {"since": "soon"}, {"since": "2024-03-02", "until": "2024-03-01"}], ids=str
)
def test_trends_that_make_no_sense_are_refused(api: Api, query: dict[str, Any]) -> None:
    assert api.call("GET", "/api/trends", params=query).status_code == 422


def test_a_limited_key_sees_the_figures_of_its_pipelines_only(api: Api) -> None:
    lived(api)
    key = api.key(Role.VIEWER, "features")
    items = api.get("/api/trends", apikey=key)["items"]
    assert {each["pipeline"] for each in items} == {"features", None}
    assert {each["figures"]["failed"] for each in items} == {0}
    assert api.call("GET", "/api/trends", apikey=key, params={"task": "add"}).status_code == 403
    text = api.call("GET", "/metrics", apikey=key).text
    assert 'pipeline="add"' not in text
    assert "mulligan_workers" not in text
    assert ("mulligan_retries_total", "TRANSIENT", "features") in scraped(api, key)


def test_counters_are_what_was_counted_and_gauges_what_is(api: Api) -> None:
    lived(api)
    found = scraped(api)
    assert found["mulligan_attempts_total", "TRANSIENT", "FAILED", "features"] == 1
    assert found["mulligan_attempts_total", "", "SUCCEEDED", "features"] == 4
    assert found["mulligan_work_items_ended_total", "add", "FAILURE", "first_try"] == 2
    assert found["mulligan_failed_attempts_seconds_total", "TRANSIENT", "features"] == 5
    assert found["mulligan_recovery_seconds_bucket", "automatic", "300.0", "features"] == 0
    assert found["mulligan_recovery_seconds_bucket", "automatic", "600.0", "features"] == 1
    assert found["mulligan_recovery_seconds_sum", "automatic", "features"] == 400
    assert found["mulligan_work_items", "add", "PENDING"] == 1
    assert found["mulligan_oldest_ready_seconds", "add"] == 30
    assert (found["mulligan_pipeline_paused", "features"], found["mulligan_pipeline_paused", "add"]) == (1, 0)
    assert (found["mulligan_workers",], found["mulligan_unsealed_jobs",]) == (3, 0)


def test_counters_never_go_back_when_what_they_are_of_is_summed_up_and_removed(api: Api) -> None:
    lived(api)
    before = {name: value for name, value in scraped(api).items() if name[0].endswith(("_total", "_bucket", "_sum"))}
    assert before
    api.harness.trends.run_once()
    api.harness.clock.pass_(10 * 86_400)
    while api.harness.retention.run_once():
        pass
    after = scraped(api)
    assert {name: after[name] for name in before} == before


def test_there_are_never_more_labels_than_the_cap(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "PIPELINES", 2)
    lived(api)
    for number in range(3):
        api.succeeded(a_definition(f"late-{number}"))
    found = scraped(api)
    assert found["mulligan_work_items_ended_total", OTHER, "SUCCESS", "first_try"] == 3
    assert {name[1] for name in found if name[0] == "mulligan_pipeline_paused"} == {"add", "features", OTHER}


def test_open_metrics_is_spoken_with_who_asks_for_it(api: Api) -> None:
    lived(api)
    found = api.call("GET", "/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert found.headers["content-type"].startswith("application/openmetrics-text")
    assert found.text.endswith("# EOF\n")


@pytest.mark.skipif(PROMTOOL is None, reason="Debian's package prometheus brings promtool")
def test_promtool_finds_nothing_to_complain_about(api: Api) -> None:
    lived(api)
    text = api.call("GET", "/metrics").text
    done = subprocess.run(
        [str(PROMTOOL), "check", "metrics"], input=text, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_page_about_metrics_names_each_with_its_labels(api: Api) -> None:
    lived(api)
    api.post("/api/work-items/1-0/retry")
    there = {}
    for family in text_string_to_metric_families(api.call("GET", "/metrics").text):
        total = "_total" if family.type == "counter" else ""
        there[family.name + total] = {name for sample in family.samples for name in sample.labels} - {"le"}
    said = re.findall(r"^\| `(mulligan_\w+)(?:\{([\w,]+)\})?` \|", PAGE, re.MULTILINE)
    page = {name: set(filter(None, labels.split(","))) for name, labels in said}
    assert page == there | {"mulligan_supervisor_last_tick_timestamp_seconds": set()}


@pytest.mark.skipif(PROMTOOL is None, reason="Debian's package prometheus brings promtool")
def test_the_rules_and_the_scrape_on_the_page_are_valid(tmp_path: Path) -> None:
    scrape, rules = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "rules.yml").write_text(rules)
    (tmp_path / "prometheus.yml").write_text(scrape.replace("/etc/prometheus/mulligan.key", str(tmp_path / "rules.yml")))
    for kind, name in (("rules", "rules.yml"), ("config", "prometheus.yml")):
        command = [str(PROMTOOL), "check", kind, str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


class TestWithoutAKey:
    def test_metrics_are_refused_unless_they_were_opened(self, api: Api) -> None:
        assert api.call("GET", "/metrics", apikey="").status_code == 401

    def test_opened_they_are_read_and_nothing_else_is(self) -> None:
        api = Api(metrics_open=True)
        lived(api)
        assert scraped(api, "")["mulligan_workers",] == 3
        for path in ("/api/trends", "/metrics/", "/api/jobs"):
            assert api.call("GET", path, apikey="").status_code == 401
        assert api.call("GET", "/metrics", apikey="", headers={"host": "evil.example"}).status_code == 421
        assert api.call("POST", "/metrics", apikey="").status_code == 405
        api.harness.store.close()

    @pytest.mark.parametrize("place", [Place("0.0.0.0", 1, behind_proxy=True), Place("127.0.0.1", 1, behind_proxy=True)], ids=str)  # noqa: S104
    def test_they_are_not_opened_where_others_could_come(self, place: Place) -> None:
        opened = Place(place.host, place.port, behind_proxy=True, metrics_open=True)
        place.check(lambda: True)
        with pytest.raises(ConfigError, match="metrics_open"):
            opened.check(lambda: True)
        Place("127.0.0.1", 1, metrics_open=True).check(lambda: False)

"""The reference application: API, Celery worker and pipeline, told about telemetry by the environment alone."""

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from support.processes import families, run, total

pytestmark = pytest.mark.e2e

EXAMPLES = Path(__file__).parents[2] / "examples"
STAGES = (
    "ingest_webhook",
    "store_event",
    "enqueue_pipeline",
    "generate_plan",
    "policy_check_plan",
    "generate_patch",
    "policy_check_patch",
    "run_scans",
    "sandbox_validate",
    "create_pr",
    "persist_artifact",
)
IDS = ("request_id", "delivery_id", "run_key", "failure_id", "run_id")
OWN_LOGGERS = ("sre_agent.api", "sre_agent.worker", "sre_agent.pipeline", "celery.app.trace", "celery.worker.strategy")


def outcomes(spans):
    """The outcomes of the stages of a trace, by stage, in the order in which they were received."""
    found: dict[str, list[str]] = {}
    for span in spans:
        if span.name.startswith("stage "):
            stage = found.setdefault(span.attributes["tachograph.stage"], [])
            stage.append(span.attributes["tachograph.outcome"])
    return found


def scenario(reference, name):
    (said,) = (said for said in reference.said if said["scenario"] == name)
    return outcomes(reference.traces()[said["request_id"]])


class TestRun:
    def test_every_scenario_ends_as_it_must(self, reference):
        """
        Eight requests are eight scenarios, and the run says that each ended as it must.
        """
        assert reference.ended.returncode == 0
        assert Counter(said["outcome"] for said in reference.said) == {
            "success": 2,
            "blocked": 3,
            "failure": 1,
            "skipped": 1,
            "denied": 1,
        }

    def test_nobody_complains(self, reference):
        """
        There is no traceback of anybody, and no notice of ours.
        """
        assert reference.ended.notices == []
        assert "Traceback" not in reference.ended.stderr
        assert reference.receiver.faults == []


class TestTrace:
    def test_each_request_is_one_trace(self, reference):
        """
        All spans of a request, those of the worker's two tasks and of a retry too, are one trace.
        """
        traces = reference.traces()

        assert sum(map(len, traces.values())) == len(reference.spans)
        assert [len({span.trace_id for span in spans}) for spans in traces.values()] == [1] * len(traces)

    def test_each_trace_has_one_root(self, reference):
        """
        Only the API's server span has no parent; every other's parent was received.
        """
        known = {span.span_id for span in reference.spans}
        roots = [span for span in reference.spans if not span.parent_id]

        assert {span.name for span in roots} == {"POST /webhooks/ci"}
        assert len(roots) == len(reference.said)
        assert [span.name for span in reference.spans if span.parent_id and span.parent_id not in known] == []

    def test_each_trace_has_the_eleven_stages(self, reference):
        """
        From the webhook to the artifact, whatever became of the request.
        """
        for spans in reference.traces().values():
            assert set(outcomes(spans)) == set(STAGES)

    def test_a_stage_has_all_ids(self, reference):
        """
        Request, delivery, run and failure can be found from any stage.
        """
        stages = [span for span in reference.spans if span.name.startswith("stage ")]

        assert [span.name for span in stages if not all(span.attributes.get(key) for key in IDS)] == []

    def test_contents_stay_out(self, reference):
        """
        No attribute of any span holds a payload or a URL, but for the one that an instrumented HTTP client is to give.
        """
        values = [str(value) for span in reference.spans for key, value in span.attributes.items() if key != "url.full"]

        assert [value for value in values if "://" in value or "assert 1 == 2" in value or "revert" in value] == []


class TestOutcomes:
    def test_success(self, reference):
        """
        Where nothing goes wrong every stage is a success.
        """
        assert scenario(reference, "success") == {stage: ["success"] for stage in STAGES}

    @pytest.mark.parametrize(
        ("name", "stage", "outcome"),
        [
            ("policy", "policy_check_plan", "blocked"),
            ("scan_failure", "run_scans", "failure"),
            ("budget", "generate_patch", "blocked"),
            ("approval_denied", "create_pr", "denied"),
        ],
    )
    def test_a_stage_that_stops_the_pipeline_says_so(self, reference, name, stage, outcome):
        """
        What stopped a pipeline stands on its stage; the stages after it were skipped, and the run was kept.
        """
        found = scenario(reference, name)
        after = STAGES[STAGES.index(stage) + 1 : -1]

        assert found[stage] == [outcome]
        assert [found[each] for each in after] == [["skipped"]] * len(after)
        assert found["persist_artifact"] == ["success"]

    @pytest.mark.parametrize("name", ["throttled", "loop"])
    def test_a_job_that_is_not_admitted_skips_all(self, reference, name):
        """
        A throttled job and one that was tried too often reach no stage of the pipeline.
        """
        found = scenario(reference, name)

        assert {tuple(found[stage]) for stage in STAGES[3:-1]} == {("skipped",)}

    def test_a_retry_is_in_the_same_trace(self, reference):
        """
        The attempt that failed and the one that succeeded are two spans of one stage.
        """
        assert sorted(scenario(reference, "retry")["generate_plan"]) == ["retry", "success"]

    def test_every_outcome_is_counted(self, reference):
        """
        What ended a run, or kept it from running, is on a metric of its own.
        """
        labels = {
            "tachograph.pipeline.runs": {"success", "blocked", "failure", "skipped", "denied", "retry"},
            "tachograph.pipeline.throttled": {"repo_concurrency"},
            "tachograph.pipeline.loops_blocked": {"max_attempts"},
            "tachograph.pipeline.retries": {"transient_error"},
            "tachograph.policy.violations": {"protected_path"},
            "tachograph.tool.approvals": {"requested", "granted", "denied"},
            "tachograph.scan.failures": {"timeout", "policy_block"},
            "tachograph.budget.exhausted": {"trial"},
        }
        for metric, words in labels.items():
            found = [point.attributes for point in reference.points if point.metric == metric]
            assert words <= {word for attributes in found for word in attributes.values()}, metric


class TestRequestId:
    def test_it_is_kept_or_made(self, reference):
        """
        The response has the caller's id, or a new one where the caller has none.
        """
        for said in reference.said:
            if said["number"] % 2 == 0:
                assert said["request_id"] == f"request-{said['number']}"
            else:
                assert len(said["request_id"]) == 32

    def test_every_log_record_of_a_request_has_it(self, reference):
        """
        Application, tasks and Celery itself: what is logged for a request has its id and its trace.
        """
        trace_of = {spans[0].trace_id: request_id for request_id, spans in reference.traces().items()}
        records = [log for log in reference.logs if log.scope in OWN_LOGGERS]

        assert {log.scope for log in records} == set(OWN_LOGGERS)
        assert [log.body for log in records if log.attributes.get("request_id") != trace_of.get(log.trace_id)] == []

    def test_every_audit_record_has_it(self, reference):
        """
        Each record of the journal is of a request, and of its trace.
        """
        trace_of = {spans[0].trace_id: request_id for request_id, spans in reference.traces().items()}
        records = [record for record in reference.journal if not record["event"].startswith("audit.")]

        assert {record["event"] for record in records} >= {
            "agent.tool.call",
            "agent.plan.transition",
            "agent.policy.violation",
            "agent.approval.decided",
            "agent.guard.violation",
        }
        assert [
            record["event"] for record in records if record["correlation"]["request_id"] != trace_of[record["trace_id"]]
        ] == []


class TestServices:
    def test_api_and_worker_are_two_services(self, reference):
        """
        Nobody named them, so each has a name of its own.
        """
        assert {span.resource["service.name"] for span in reference.spans} == {"sre-agent-api", "sre-agent-worker"}

    def test_the_api_serves_its_metrics(self, reference):
        """
        The API answers Prometheus where the environment says, with all eight requests.
        """
        found = families(reference.api_metrics)

        assert total(found, "http_server_request_duration_seconds_count", http_route="/webhooks/ci") == 8

    def test_no_label_is_unbounded(self, reference):
        """
        No id of a run, no address and no text of a job is a label of a metric of ours.
        """
        words = {
            word
            for point in reference.points
            if point.scope == "tachograph"
            for word in map(str, point.attributes.values())
        }
        keys = {said["run_key"] for said in reference.said} | {said["request_id"] for said in reference.said}

        assert words & keys == set()
        assert [word for word in words if "shop-" in word or "delivery-" in word] == []


class TestDriver:
    def test_a_missing_redis_is_said(self, tmp_path):
        """
        Without redis-server there is one line that says what to install, and the exit code is 1.
        """
        bare = tmp_path / "bin"
        bare.mkdir()
        ended = run(
            sys.executable, str(EXAMPLES / "sre_agent" / "run.py"), at=tmp_path, zero_code=False, PATH=os.fspath(bare)
        )

        assert ended.returncode == 1
        assert ended.stderr.splitlines() == [
            "sre_agent: redis-server is not on PATH; install it (apt-get install redis-server) and run this again"
        ]

    def test_a_run_that_failed_is_named(self, driver, capsys):
        """
        A run with another end than its scenario's, one without an end and one that was refused: which, and why.
        """
        success = driver.scenarios.SCENARIOS[0]
        requests = (
            driver.Request(0, success, 202, "key-0"),
            driver.Request(1, success, 202, "key-1"),
            driver.Request(2, success, 500),
        )
        kept = {"key-0": "failure", "key-1": "success"}

        class Kept:
            outcome = staticmethod(kept.get)

        problems = [problem for request in requests for problem in driver.follow(Kept, request)]

        assert problems == [
            "request 0 (success, run key-0) ended as failure, not as success",
            "request 2 (success): the API answered 500",
        ]

    def test_a_name_that_is_given_is_kept(self, driver):
        """
        The environment's name of the service wins over those of the example.
        """
        assert driver.api_environment({"OTEL_SERVICE_NAME": "mine"})["OTEL_SERVICE_NAME"] == "mine"
        assert driver.worker_environment({"OTEL_SERVICE_NAME": "mine"})["OTEL_SERVICE_NAME"] == "mine"

    def test_two_services_do_not_share_a_port(self, driver):
        """
        The worker's /metrics is on the port after the API's, where there is one; else nothing is set.
        """
        port = "OTEL_EXPORTER_PROMETHEUS_PORT"

        assert driver.worker_environment({port: "9000"})[port] == "9001"
        assert driver.worker_environment({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"})[port] == "9465"
        assert port not in driver.worker_environment({})


@pytest.fixture
def driver(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from sre_agent import run as module

    return module

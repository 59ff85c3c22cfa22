"""Pipelines, tasks and scans."""

import time

import pytest

import tachograph
from tachograph import correlation, notices


@pytest.fixture(autouse=True)
def _nothing_said():
    notices.forget()
    yield
    notices.forget()


class TestPipeline:
    @pytest.mark.parametrize("outcome", ["success", "failure", "blocked", "skipped"])
    def test_runs_are_counted_by_outcome(self, telemetry, outcome):
        """
        A run of a pipeline ends once, with one word.
        """
        with tachograph.pipeline("sre", trigger="webhook") as run:
            run.outcome = outcome

        assert telemetry.value("tachograph.pipeline.runs", outcome=outcome) == 1
        attributes = telemetry.span("pipeline sre").attributes
        assert (attributes["tachograph.pipeline.name"], attributes["trigger"]) == ("sre", "webhook")


class TestTask:
    def test_its_id_is_bound(self, telemetry):
        """
        Everything in the task carries its id.
        """
        with tachograph.task("triage", task_id="t-1"):
            inside = dict(correlation.ids())

        assert inside["task_id"] == "t-1"
        assert telemetry.span("task triage").attributes["tachograph.task"] == "triage"

    async def _work(self):
        async with tachograph.task("triage") as run:
            return run.task_id, correlation.ids()["task_id"]

    def test_an_id_is_made(self, telemetry):
        """
        A task without an id gets one.
        """
        import asyncio

        made, bound = asyncio.run(self._work())

        assert made == bound
        assert len(made) == 32


class TestScan:
    def test_success_tells_when(self, telemetry):
        """
        A scan with a result has a duration and the time of its last success, and no failure.
        """
        before = time.time()
        with tachograph.scan("trivy"):
            pass

        assert before <= telemetry.value("tachograph.scan.last_success", scanner="trivy") <= time.time()
        assert telemetry.value("tachograph.scan.duration", scanner="trivy") == 1
        assert telemetry.value("tachograph.scan.failures") == 0

    @pytest.mark.parametrize(
        ("outcome", "says", "error", "reason"),
        [
            (None, None, TimeoutError, "timeout"),
            (None, None, ValueError, "error"),
            ("denied", None, None, "policy_block"),
            ("cancelled", None, None, "unknown"),
            (None, "policy_block", None, "policy_block"),
            (None, "timeout", None, "timeout"),
            (None, "unknown", ValueError, "unknown"),
            (None, "nonsense", None, "_OTHER"),
        ],
    )
    def test_a_failure_has_a_reason(self, telemetry, outcome, says, error, reason):
        """
        It follows from how the scan ended, unless it was said; there is no success then.
        """

        def scanning():
            with tachograph.scan("gitleaks") as run:
                if outcome:
                    run.outcome = outcome
                if says:
                    run.fail(says)
                if error:
                    raise error

        if error:
            with pytest.raises(error):
                scanning()
        else:
            scanning()

        assert telemetry.value("tachograph.scan.failures", scanner="gitleaks", reason=reason) == 1
        assert telemetry.value("tachograph.scan.last_success", scanner="gitleaks") == 0

    def test_a_scan_that_was_not_made_is_no_failure(self, telemetry):
        """
        Skipped is neither.
        """
        with tachograph.scan("sbom") as run:
            run.outcome = "skipped"

        assert telemetry.value("tachograph.scan.failures") == 0
        assert telemetry.value("tachograph.scan.last_success", scanner="sbom") == 0


class TestStages:
    def test_the_applications_stages_are_closed_by_their_declaration(self, tmp_path):
        """
        After `declare`, a stage that was not declared is `_OTHER`.
        """
        from support.processes import python

        code = """
import tachograph
from tachograph.testing import capture
tachograph.catalogue.declare("tachograph.stage", "fetch", "plan")
with capture() as telemetry:
    for name in ("fetch", "plan", "other"):
        with tachograph.stage(name):
            pass
print(sorted(point.attributes["tachograph.stage"] for point in telemetry.metrics("tachograph.pipeline.stage.duration")))
"""
        ended = python(code, at=tmp_path)

        assert ended.stdout.strip() == "['_OTHER', 'fetch', 'plan']"

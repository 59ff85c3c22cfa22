"""The tests of applications: everything in memory, each test on its own."""

import logging

import pytest
from opentelemetry import metrics, trace

import tachograph
from support.processes import python
from tachograph import audit, intake
from tachograph.bootstrap import hooks
from tachograph.logs.config import LogOptions
from tachograph.testing import capture


def work() -> None:
    with tachograph.bind(request_id="r-1"), tachograph.tool_call("shell") as call:
        logging.getLogger("app").info("one")
        logging.getLogger("app").info("two", extra={"audit": True})
        call.outcome = "blocked"


class TestCapture:
    def test_every_signal_is_seen(self, telemetry) -> None:
        """
        Spans, log records, metrics, the exposition and the journal of the block are there to read.
        """
        work()

        assert [span.name for span in telemetry.spans] == ["execute_tool shell"]
        bodies = [record.log_record.body for record in telemetry.logs if record.instrumentation_scope.name == "app"]
        assert bodies == ["one", "two"]
        assert telemetry.value("tachograph.tool.calls", outcome="blocked") == 1
        assert telemetry.value("tachograph.tool.calls", gen_ai_tool_name="shell") == 1
        assert telemetry.value("tachograph.tool.calls", outcome="success") == 0
        assert [record["event"] for record in telemetry.audit] == ["log.audit", "agent.tool.call"]
        assert telemetry.journal[0]["event"] == "audit.segment.start"
        assert "tachograph_tool_calls_total{" in telemetry.metrics_text()
        assert telemetry.metrics_text(openmetrics=True).endswith("# EOF\n")

    def test_one_test_does_not_see_another(self) -> None:
        """
        Each capture starts empty, and keeps what it saw after its end.
        """
        with capture() as first:
            work()
        with capture() as second:
            pass

        assert len(first.spans) == 1
        assert (second.spans, second.logs, second.journal, second.metrics("tachograph.tool.calls")) == ((), (), (), ())
        assert first.value("tachograph.tool.calls") == 1
        assert "tachograph_tool_calls_total" in first.metrics_text()

    def test_what_comes_later_is_not_seen(self) -> None:
        """
        After the block the capture is what it was at its end.
        """
        with capture() as telemetry:
            pass
        trace.get_tracer("app").start_span("later").end()
        metrics.get_meter("app").create_counter("app.later").add(1)

        assert telemetry.spans == ()
        assert telemetry.metrics("app.later") == ()

    @pytest.mark.parametrize("count", [0, 2])
    def test_a_span_that_is_not_the_only_one_is_a_failure(self, telemetry, count: int) -> None:
        """
        `span` names what there is when there is not exactly one.
        """
        for _ in range(count):
            with tachograph.stage("s"):
                pass

        with pytest.raises(AssertionError, match=f"{count} spans are named 'stage s'"):
            telemetry.span("stage s")

    def test_a_histogram_has_a_sum(self, telemetry) -> None:
        """
        A histogram's point is its count, with the sum beside it.
        """
        with tachograph.context_assembly() as run:
            run.tokens = 40
        (point,) = telemetry.metrics("tachograph.context.tokens")

        assert (point.value, point.sum) == (1, 40)

    def test_a_level_that_the_app_has_set_stays(self) -> None:
        """
        INFO passes as in production, unless the application has chosen a level; afterwards it is as before.
        """
        root = logging.getLogger()
        with capture() as default:
            logging.getLogger("app").info("one")
        after, before = root.level, logging.ERROR
        root.setLevel(before)
        try:
            with capture() as chosen:
                logging.getLogger("app").warning("two")
        finally:
            found = root.level
            root.setLevel(after)

        assert (after, found) == (logging.WARNING, before)
        assert [record.log_record.body for record in default.logs] == ["one"]
        assert chosen.logs == ()

    def test_the_block_may_raise(self) -> None:
        """
        An exception of the block comes out, and the capture is whole.
        """
        captured = []

        def fail() -> None:
            with capture() as telemetry:
                captured.append(telemetry)
                work()
                raise LookupError

        with pytest.raises(LookupError):
            fail()

        assert len(captured[0].audit) == 2

    def test_the_journal_of_before_is_back(self, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        After a capture, records go where the settings say, and operations nowhere.
        """
        monkeypatch.setenv("TACHOGRAPH_DIR", str(tmp_path))
        with capture():
            work()
        written = audit.record("config.change", action="UPDATE", resource="a:b")
        audit.shutdown()

        assert written is not None
        assert (tmp_path / "audit.jsonl").exists()
        assert intake.submit(intake.AuditEvent("a.b", "DO", "x:y")) is None


class TestBesideConfigure:
    def test_an_app_that_is_configured_is_captured_too(self, tmp_path) -> None:
        """
        In a process that has called `configure`, a capture sees everything, and the app's own files go on after it.
        """
        code = """
import logging, tachograph
from tachograph.testing import capture
telemetry = tachograph.configure("app")
with capture() as seen:
    with tachograph.tool_call("inside"):
        logging.getLogger("app").info("inside")
with tachograph.tool_call("after"):
    pass
assert [span.name for span in seen.spans] == ["execute_tool inside"], seen.spans
assert len([r for r in seen.logs if r.log_record.body == "inside"]) == 1
assert [r["resource"]["id"] for r in seen.audit] == ["tool:inside"], seen.audit
assert seen.value("tachograph.tool.calls") == 1, seen.metrics()
print(telemetry.shutdown(10))
"""
        ended = python(code, at=tmp_path)

        assert (ended.stdout, ended.notices) == ("True\n", []), ended.stderr
        assert [span.name for span in ended.spans] == ["execute_tool inside", "execute_tool after"]
        assert [record["resource"]["id"] for record in ended.audit] == ["tool:after"]
        assert ended.audit[0]["actor"]["id"] == "service:app"


class TestWhatLivesAsLongAsTheProcess:
    def test_a_capture_starts_without_it(self):
        """
        Populations, budgets and pending approvals of one test do not show in the next.
        """
        with capture():
            tachograph.agent_population({("idle", "trusted"): 3})
            tachograph.approval("requested", approval_id="ap-1")
            tachograph.budget("monthly", limit=10, spent=4)
        with capture() as second:
            text = second.metrics_text()

        assert "tachograph_agent_population" not in text
        assert "tachograph_budget_spent" not in text
        assert "tachograph_tool_approvals_pending 1" not in text


class TestConfiguredInside:
    def test_the_app_may_configure_inside_a_capture(self, tmp_path) -> None:
        """
        Audit records of the block are the capture's, each once; after it the app's journal and log hooks hold.
        """
        code = """
import logging, tachograph
from pathlib import Path
from tachograph.scrape import app
from tachograph.testing import capture
with capture() as seen:
    telemetry = tachograph.configure("app")
    with tachograph.tool_call("inside"):
        logging.getLogger("app").info("inside", extra={"audit": True})
    assert not Path(telemetry.settings.audit_path).exists()
assert [r["event"] for r in seen.audit] == ["log.audit", "agent.tool.call"], seen.audit
assert app.in_force() is not None
logging.getLogger("app").warning("after", extra={"audit": True})
with tachograph.tool_call("after"):
    pass
print(telemetry.shutdown(10))
"""
        ended = python(code, at=tmp_path)

        assert (ended.returncode, ended.stdout) == (0, "True\n"), ended.stderr
        assert [record["event"] for record in ended.audit] == ["log.audit", "agent.tool.call"]
        assert [log.body for log in ended.own_logs] == ["inside", "after"]

    def test_a_capture_inside_another_is_refused(self, telemetry) -> None:
        """
        The second says what to do instead, and the first goes on.
        """
        with pytest.raises(RuntimeError, match="read from that one"), capture():
            pass
        work()

        assert len(telemetry.audit) == 2


class TestHooksOfLogging:
    def test_they_stay_until_nobody_needs_them(self, telemetry) -> None:
        """
        A call that is taken back, even twice, costs another one nothing.
        """
        again = hooks.install(LogOptions("other", "json", logging.INFO))
        again()
        again()
        logging.getLogger("app").info("still")

        assert "still" in [record.log_record.body for record in telemetry.logs]

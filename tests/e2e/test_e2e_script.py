"""A plain script, with zero code and with `configure()`, in both modes, to its end and to SIGTERM."""

import json
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import items
from support.otlp_receiver import Receiver, hang
from support.processes import APPS, Ended, families, free_port, get, python, run, start, total

pytestmark = pytest.mark.e2e

SCRIPT = str(APPS / "script.py")


@dataclass(frozen=True)
class Evidence:
    ended: Ended
    receiver: Receiver | None
    service: str

    @property
    def spans(self) -> list[items.Span]:
        return self.ended.spans if self.receiver is None else self.receiver.spans

    @property
    def logs(self) -> list[items.Log]:
        return [log for log in self.all_logs if not log.is_copy]

    @property
    def all_logs(self) -> list[items.Log]:
        return self.ended.logs if self.receiver is None else self.receiver.logs


def variables(receiver: Receiver | None) -> dict[str, str]:
    if receiver is None:
        return {}
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_EXPORTER_PROMETHEUS_PORT": str(free_port()),
        "OTEL_SERVICE_NAME": "planner",
    }


@pytest.fixture(scope="module", params=["zero-code", "configure", "sigterm", "sigterm-configure"])
def how(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module", params=["local", "server"])
def evidence(request: pytest.FixtureRequest, how: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    with Receiver() as receiver:
        inbox = receiver if request.param == "server" else None
        configured = {"APP_CONFIGURE": "planner"} if how.endswith("configure") else {}
        waits = {"APP_WAIT": "1"} if how.startswith("sigterm") else {}
        running = start(
            sys.executable,
            SCRIPT,
            at=tmp_path_factory.mktemp(f"script-{how}"),
            zero_code=not configured,
            **configured,
            **waits,
            **variables(inbox),
        )
        try:
            if waits:
                running.wait_for_output("trace_id")
                running.process.send_signal(signal.SIGTERM)
            ended = running.ended()
        finally:
            running.kill()
        named = configured or inbox is not None
        yield Evidence(ended, inbox, "planner" if named else "unknown_service")


class TestScript:
    def test_it_ends_as_it_would_without_us(self, evidence: Evidence, how: str) -> None:
        """
        The exit status is the script's own, and SIGTERM still kills it.
        """
        assert evidence.ended.returncode == (-signal.SIGTERM if how.startswith("sigterm") else 0)

    def test_spans(self, evidence: Evidence) -> None:
        """
        Every operation is one span of one trace, under its plan.
        """
        names = Counter(span.name for span in evidence.spans)
        roots = [span.name for span in evidence.spans if not span.parent_id]

        assert len(evidence.spans) == evidence.ended.said["spans"]
        assert names == {"plan fix-build": 1, "invoke_agent planner": 1, "execute_tool shell": 25, "chat gpt-5": 1}
        assert roots == ["plan fix-build"]
        assert {span.trace_id for span in evidence.spans} == {evidence.ended.said["trace_id"]}

    def test_log_records(self, evidence: Evidence) -> None:
        """
        Every log call is one record, in the trace and with the ids of the run.
        """
        assert len(evidence.logs) == evidence.ended.said["logs"]
        assert {log.trace_id for log in evidence.logs} == {evidence.ended.said["trace_id"]}
        assert {(log.attributes["request_id"], log.attributes["plan_id"]) for log in evidence.logs} == {
            ("req-script-1", "p-7")
        }

    def test_console(self, evidence: Evidence) -> None:
        """
        Every log call is one JSON line, and there is no other line.
        """
        assert len(evidence.ended.console) == evidence.ended.said["logs"] == len(evidence.ended.stderr.splitlines())

    def test_metrics(self, evidence: Evidence) -> None:
        """
        Counts are exact: in the textfile in local mode, in the last push in server mode.
        """
        said = evidence.ended.said
        if evidence.receiver is None:
            found = evidence.ended.families(evidence.service)
            assert total(found, "app_steps_total") == said["steps"]
            assert total(found, "app_steps_total", kind="even") == 13
            assert total(found, "tachograph_tool_calls_total") == said["tools"]
            assert total(found, "tachograph_tool_calls_total", tachograph_outcome="blocked") == 5
            assert total(found, "tachograph_llm_tokens_total") == 120
            return

        pushed = Counter[str]()
        for point in evidence.receiver.points:
            pushed[point.metric] += point.value
        assert pushed["app.steps"] == said["steps"]
        assert pushed["tachograph.tool.calls"] == said["tools"]
        assert pushed["tachograph.llm.tokens"] == 120
        assert pushed["tachograph.plan.active"] == 0

    def test_audit(self, evidence: Evidence) -> None:
        """
        The journal holds every tool call, plan transition, record and marked log call once, chained and in the trace.
        """
        events = Counter(record["event"] for record in evidence.ended.audit)

        assert len(evidence.ended.audit) == evidence.ended.said["audit"]
        assert events == {
            "agent.plan.transition": 2,
            "agent.tool.call": 25,
            "config.change": 3,
            "sandbox.activity": 3,
        }
        assert {record["trace_id"] for record in evidence.ended.audit} == {evidence.ended.said["trace_id"]}
        assert {record["correlation"]["request_id"] for record in evidence.ended.audit} == {"req-script-1"}

    def test_the_journal_has_a_copy_among_the_logs(self, evidence: Evidence) -> None:
        """
        Every line that did not come as a log record is copied to the logs byte for byte, and each says its place.
        """
        lines = evidence.ended.lines("audit.jsonl")
        copies = [log.body for log in evidence.all_logs if log.is_copy]
        placed = [log.attributes["audit.sequence.number"] for log in evidence.all_logs if "audit" in log.attributes]

        assert len(copies) == evidence.ended.said["audit"] - evidence.ended.said["marked"]
        assert set(copies) < set(lines)
        assert len(placed) == len(set(placed)) == evidence.ended.said["marked"]

    def test_files(self, evidence: Evidence) -> None:
        """
        Local mode leaves four files; server mode leaves the journal only.
        """
        local = {"traces.jsonl", "logs.jsonl", f"metrics.{evidence.service}.prom", "audit.jsonl"}

        assert evidence.ended.names() == (local if evidence.receiver is None else {"audit.jsonl"})

    def test_service(self, evidence: Evidence) -> None:
        """
        The service's name is the same on every signal.
        """
        assert {each.resource["service.name"] for each in (*evidence.spans, *evidence.logs)} == {evidence.service}
        assert {line["service"] for line in evidence.ended.console} == {evidence.service}


class TestPerSignalEndpoint:
    def test_only_that_signal_is_sent(self, tmp_path: Path) -> None:
        """
        An endpoint for traces alone sends traces; logs stay in their file.
        """
        with Receiver() as receiver:
            ended = run(
                sys.executable,
                SCRIPT,
                at=tmp_path,
                OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{receiver.url}/v1/traces",
                OTEL_EXPORTER_PROMETHEUS_PORT=str(free_port()),
            )

        assert receiver.counts() == {
            "spans": ended.said["spans"],
            "logs": 0,
            "points": 0,
            "requests": {"traces": 1, "logs": 0, "metrics": 0},
            "faults": [],
        }
        assert len(ended.own_logs) == ended.said["logs"]
        assert "traces.jsonl" not in ended.names()

    def test_metrics_are_served_as_well(self, tmp_path: Path) -> None:
        """
        An endpoint for metrics alone pushes them and serves /metrics, on the port that is set.
        """
        port = free_port()
        with Receiver() as receiver:
            running = start(
                sys.executable,
                SCRIPT,
                at=tmp_path,
                APP_WAIT="1",
                OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{receiver.url}/v1/metrics",
                OTEL_EXPORTER_PROMETHEUS_PORT=str(port),
                OTEL_EXPORTER_PROMETHEUS_HOST="127.0.0.1",
            )
            try:
                running.wait_for_output("trace_id")
                status, headers, text = get(f"http://127.0.0.1:{port}/metrics")
            finally:
                ended = running.stop()

        assert (status, headers["content-type"].partition(";")[0]) == (200, "text/plain")
        assert total(families(text), "app_steps_total") == ended.said["steps"]
        assert [point.value for point in receiver.points if point.metric == "tachograph.agent.turns"] == [1]
        assert (receiver.requests["traces"], receiver.requests["logs"]) == (0, 0)
        assert len(ended.spans) == ended.said["spans"]


HANGING = """
import json, logging, time
import tachograph

telemetry = tachograph.configure("planner")
with tachograph.tool_call("shell"):
    logging.info("one")

def timed(call, *args):
    began = time.monotonic()
    return call(*args), time.monotonic() - began

flushed, flush_took = timed(telemetry.flush, 0.5)
ended, shutdown_took = timed(telemetry.shutdown, 0.5)
again, again_took = timed(telemetry.shutdown)
print(json.dumps([flushed, ended, again, max(flush_took, shutdown_took, again_took)]))
"""

HEALTHY = """
import json
import tachograph

telemetry = tachograph.configure("planner")
empty = telemetry.flush(10)
with tachograph.tool_call("shell"):
    pass
full = telemetry.flush(10)
print(json.dumps([empty, full, telemetry.shutdown(10), telemetry.shutdown(10)]))
"""


class TestTelemetry:
    def test_a_hanging_receiver_costs_the_time_that_was_given(self, tmp_path: Path) -> None:
        """
        `flush` and `shutdown` come back, say False, and a second `shutdown` has nothing to do.
        """
        with Receiver(hang) as receiver:
            ended = python(
                HANGING,
                at=tmp_path,
                OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
                OTEL_EXPORTER_PROMETHEUS_PORT=str(free_port()),
            )
        flushed, shut_down, again, longest = json.loads(ended.stdout)

        assert (flushed, shut_down, again) == (False, False, True)
        assert longest < 5, "half a second was given; a tenth of upstream's own timeout of 10 s is generous"
        assert ended.returncode == 0
        assert receiver.counts()["spans"] == 0

    @pytest.mark.parametrize("mode", ["local", "server"])
    def test_what_left_is_told_truly(self, mode: str, tmp_path: Path) -> None:
        """
        `flush` says True with nothing to send, and after everything was sent.
        """
        with Receiver() as receiver:
            ended = python(HEALTHY, at=tmp_path, **variables(receiver if mode == "server" else None))

        assert json.loads(ended.stdout) == [True, True, True, True]
        assert ended.stderr == ""

    def test_a_second_configure_changes_nothing_and_says_so(self, tmp_path: Path) -> None:
        """
        `configure` is idempotent; what a later call asks for in vain is one line.
        """
        code = "import tachograph as t; a = t.configure('one'); print(a is t.configure(), a is t.configure('two'))"
        ended = python(code, at=tmp_path)

        assert ended.stdout == "True True\n"
        assert len(ended.notices) == 1
        assert "configure() changes nothing" in ended.notices[0]
        assert "'one'" in ended.notices[0]

    def test_a_wrong_argument_is_an_exception(self, tmp_path: Path) -> None:
        """
        A developer's mistake raises where it is made.
        """
        code = "import tachograph as t\ntry:\n t.configure(shutdown='x')\nexcept t.ConfigurationError as e: print(e)"

        assert "'shutdown' is not a setting" in python(code, at=tmp_path).stdout

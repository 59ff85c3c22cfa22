"""Both web apps in both modes: what is produced arrives, once, and everything of one request hangs together."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support import items
from support.otlp_receiver import Receiver
from support.processes import OPENMETRICS, Ended, environment, exemplars, families, free_port, get, start, total

pytestmark = pytest.mark.e2e

SERVER, CLIENT = 2, 3
ORDERS = 20


@dataclass(frozen=True)
class Evidence:
    """What an app did by its own counting, and everything that is left of it."""

    app: str
    mode: str
    said: dict[str, Any]
    answers: dict[str, dict[str, Any]]
    ended: Ended
    receiver: Receiver | None
    text: str
    openmetrics: str

    @property
    def spans(self) -> list[items.Span]:
        return self.ended.spans if self.receiver is None else self.receiver.spans

    @property
    def logs(self) -> list[items.Log]:
        return self.ended.logs if self.receiver is None else self.receiver.logs

    @property
    def app_logs(self) -> list[items.Log]:
        return [log for log in self.logs if log.scope.startswith("app.")]

    @property
    def app_lines(self) -> list[dict[str, Any]]:
        return [line for line in self.ended.console if line["logger"].startswith("app.")]

    @property
    def produced_logs(self) -> int:
        return int(self.said["stdlib"]) + int(self.said.get("structlog", 0))


def command(app: str, port: int) -> tuple[str, ...]:
    if app == "flask":
        return sys.executable, "-m", "flask_requests"
    return "uvicorn", "fastapi_httpx:app", "--port", str(port)


@pytest.fixture(scope="module", params=["flask-local", "flask-server", "fastapi-local", "fastapi-server"])
def evidence(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    app, mode = request.param.split("-")
    port, metrics_port = free_port(), free_port()
    variables = {"APP_PORT": str(port)}
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver()) if mode == "server" else None
        if receiver is not None:
            variables |= {
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
                "OTEL_EXPORTER_PROMETHEUS_PORT": str(metrics_port),
                "OTEL_SERVICE_NAME": "shop",
            }
        running = start(*command(app, port), at=tmp_path_factory.mktemp(request.param), **variables)
        stack.callback(running.kill)
        running.wait_for_port(port)
        answers = order(port)
        said = json.loads(get(f"http://127.0.0.1:{port}/said")[2])
        openmetrics = text = ""
        if receiver is not None:
            metrics = f"http://127.0.0.1:{metrics_port}/metrics"
            openmetrics = get(metrics, Accept=OPENMETRICS)[2]
            text = get(metrics)[2]
        ended = running.stop()
        yield Evidence(app, mode, said, answers, ended, receiver, text, openmetrics)


def order(port: int) -> dict[str, dict[str, Any]]:
    def one(number: int) -> tuple[str, dict[str, Any]]:
        given = f"req-{number}"
        status, _, body = get(f"http://127.0.0.1:{port}/orders/{number}", X_Request_ID=given)
        assert status == 200, body
        return given, json.loads(body)

    with ThreadPoolExecutor(4) as pool:
        return dict(pool.map(one, range(ORDERS)))


class TestProducedIsReceived:
    def test_spans(self, evidence: Evidence) -> None:
        """
        There is one server span a request, one client span a call, one span an operation: none lost, none twice.
        """
        kinds = Counter(span.kind for span in evidence.spans)
        names = Counter(span.name for span in evidence.spans)

        assert kinds[SERVER] == evidence.said["requests"] == 2 * ORDERS + 1
        assert kinds[CLIENT] == evidence.said["calls"] == ORDERS
        assert names["execute_tool reserve"] == evidence.said["tools"] == ORDERS
        assert len({span.span_id for span in evidence.spans}) == len(evidence.spans)

    def test_log_records(self, evidence: Evidence) -> None:
        """
        Every record of stdlib logging and of structlog reaches OpenTelemetry exactly once.
        """
        assert len(evidence.app_logs) == evidence.produced_logs
        assert evidence.said.get("structlog", 0) == sum(
            log.scope == "app.web" for log in evidence.app_logs if evidence.app == "fastapi"
        )

    def test_console_lines(self, evidence: Evidence) -> None:
        """
        Every record is one JSON line on the console, however it was logged.
        """
        assert len(evidence.app_lines) == evidence.produced_logs

    def test_metrics(self, evidence: Evidence) -> None:
        """
        The app's own counter and the requests counted by its framework are exact, wherever they are read.
        """
        if evidence.receiver is None:
            found = evidence.ended.families("unknown_service")
        else:
            found = families(evidence.text)
            pushed = [point.value for point in evidence.receiver.points if point.metric == "app.orders"]
            assert pushed == [evidence.said["orders"]]

        assert total(found, "app_orders_total") == evidence.said["orders"] == ORDERS
        assert total(found, "http_server_request_duration_seconds_count") == evidence.said["requests"]
        assert total(found, "tachograph_tool_calls_total", gen_ai_tool_name="reserve") == ORDERS

    def test_audit(self, evidence: Evidence) -> None:
        """
        Tool calls, records of the API and log calls marked `audit` are in the journal once each, in one chain.
        """
        assert len(evidence.ended.audit) == evidence.said["audit"] == 3 * ORDERS

    def test_the_receiver_has_nothing_to_complain_of(self, evidence: Evidence) -> None:
        """
        Nothing arrived that is no OTLP; in local mode nothing is sent and everything is in four files.
        """
        if evidence.receiver is not None:
            assert evidence.receiver.faults == []
            assert evidence.ended.names() == {"audit.jsonl"}
        else:
            assert evidence.ended.names() == {
                "traces.jsonl",
                "logs.jsonl",
                "metrics.unknown_service.prom",
                "audit.jsonl",
            }

    def test_resource(self, evidence: Evidence) -> None:
        """
        All signals carry one resource: the service, the distribution, and whether metrics are scraped as well.
        """
        resource = evidence.spans[0].resource

        assert resource["service.name"] == ("unknown_service" if evidence.receiver is None else "shop")
        assert resource["telemetry.distro.name"] == "tachograph"
        assert resource.get("tachograph.metrics.scraped") is (None if evidence.receiver is None else True)
        assert all(each.resource == resource for each in (*evidence.spans, *evidence.logs))


class TestOneRequest:
    @pytest.mark.parametrize("number", [0, ORDERS - 1])
    def test_span_logs_and_audit_share_the_trace(self, evidence: Evidence, number: int) -> None:
        """
        A request's spans, log records, console lines and audit records carry its trace id and its X-Request-ID.
        """
        given = f"req-{number}"
        trace_id = evidence.said["traces"][given]
        of_request = {
            "spans": [span for span in evidence.spans if span.attributes.get("request_id") == given],
            "logs": [log for log in evidence.app_logs if log.attributes.get("request_id") == given],
            "lines": [line for line in evidence.app_lines if line.get("request_id") == given],
            "audit": [each for each in evidence.ended.audit if each["correlation"]["request_id"] == given],
        }

        assert evidence.answers[given]["trace_id"] == trace_id
        assert {span.trace_id for span in of_request["spans"]} == {trace_id}
        assert {log.trace_id for log in of_request["logs"]} == {trace_id}
        assert {line["trace_id"] for line in of_request["lines"]} == {trace_id}
        assert {each["trace_id"] for each in of_request["audit"]} == {trace_id}
        assert len(of_request["audit"]) == 3
        assert len(of_request["logs"]) == len(of_request["lines"]) == evidence.produced_logs / ORDERS
        assert {span.trace_id for span in evidence.spans if span.trace_id == trace_id} == {trace_id}
        assert all(span in of_request["spans"] for span in evidence.spans if span.trace_id == trace_id)

    def test_the_id_goes_along_to_the_next_service(self, evidence: Evidence) -> None:
        """
        The request id and the trace reach the service that the request calls.
        """
        for given, answer in evidence.answers.items():
            assert answer["stock"]["request_id"] == given
            served = [
                span
                for span in evidence.spans
                if span.trace_id == answer["trace_id"] and span.kind == SERVER and "stock" in span.name
            ]
            assert len(served) == 1

    def test_exemplars_name_the_trace(self, evidence: Evidence) -> None:
        """
        An exemplar on /metrics leads to a request that there is; a textfile cannot carry any.
        """
        if evidence.receiver is None:
            assert not [line for line in evidence.ended.lines("metrics.unknown_service.prom") if " # {" in line]
            return

        found = families(evidence.openmetrics, openmetrics=True)

        assert exemplars(found, "app_order_size_bucket")
        assert exemplars(found, "app_order_size_bucket") <= set(evidence.said["traces"].values())
        assert exemplars(found, "http_server_request_duration_seconds_bucket") <= {
            span.trace_id for span in evidence.spans
        }
        assert exemplars(found, "http_server_request_duration_seconds_bucket")

    def test_a_request_without_an_id_gets_one(self, evidence: Evidence) -> None:
        """
        The request for `/said` brought no id: one of 32 hex digits was made for it.
        """
        (span,) = (span for span in evidence.spans if span.kind == SERVER and "said" in span.name)

        assert len(span.attributes["request_id"]) == 32
        assert int(span.attributes["request_id"], 16)


class TestConsole:
    def test_a_line_has_its_fields_in_order(self, evidence: Evidence) -> None:
        """
        A line says when, how grave, who, what, where in the trace, and for which service and request.
        """
        names = ["timestamp", "level", "logger", "event", "trace_id", "span_id", "service", "request_id"]
        for line in evidence.app_lines:
            assert list(line)[: len(names)] == names
            assert line["timestamp"].endswith(("Z", "+00:00"))
            assert line["service"] == ("unknown_service" if evidence.receiver is None else "shop")

    def test_nothing_else_is_said(self, evidence: Evidence) -> None:
        """
        A healthy app gets no line from us, and no traceback from anybody.
        """
        assert evidence.ended.notices == []
        assert "Traceback" not in evidence.ended.stderr


class TestEnd:
    def test_the_exit_status_is_that_of_the_app_without_us(self, evidence: Evidence, tmp_path: Path) -> None:
        """
        SIGTERM ends the app with the status that it ends with when telemetry was never loaded.
        """
        port = free_port()
        bare = start(*command(evidence.app, port), at=tmp_path, zero_code=False, APP_PORT=str(port))
        try:
            bare.wait_for_port(port)
            status = bare.stop().returncode
        finally:
            bare.kill()

        assert evidence.ended.returncode == status


class TestConfiguredByTheApp:
    @pytest.mark.parametrize("mode", ["local", "server"])
    def test_sigterm_loses_nothing(self, mode: str, tmp_path: Path) -> None:
        """
        An app that calls `configure()` while uvicorn already handles SIGTERM loses nothing that was answered.
        """
        port = free_port()
        with Receiver() as receiver:
            sent = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_EXPORTER_PROMETHEUS_PORT": "0"}
            running = start(
                "uvicorn", "configured:app", "--port", str(port),
                at=tmp_path, zero_code=False, APP_PORT=str(port), **(sent if mode == "server" else {}),
            )  # fmt: skip
            try:
                running.wait_for_port(port)
                order(port)
                said = json.loads(get(f"http://127.0.0.1:{port}/said")[2])
                ended = running.stop()
            finally:
                running.kill()
        spans, logs = (ended.spans, ended.logs) if mode == "local" else (receiver.spans, receiver.logs)

        assert sum(span.name == "execute_tool reserve" for span in spans) == said["tools"]
        assert sum(log.scope.startswith("app.") for log in logs) == said["stdlib"] + said["structlog"]
        assert len(ended.audit) == said["audit"]


def test_the_environment_of_these_tests_is_clean() -> None:
    """
    No variable of the tests' own process steers the telemetry of an app.
    """
    assert not [key for key in environment(None) if key.startswith(("OTEL_", "TACHOGRAPH_"))]

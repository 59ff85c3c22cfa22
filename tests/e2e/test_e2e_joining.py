"""Telemetry that is there before us is joined, and nothing is recorded or served a second time beside ours."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from support.otlp_receiver import Receiver
from support.processes import families, free_port, python, run, total

pytestmark = pytest.mark.e2e

HOST = """
import json, logging
from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

resource = Resource.create({"service.name": "host"})
spans, logs, reader = InMemorySpanExporter(), InMemoryLogRecordExporter(), InMemoryMetricReader()
tracers, loggers = TracerProvider(resource=resource), LoggerProvider(resource=resource)
meters = MeterProvider([reader], resource=resource)
tracers.add_span_processor(SimpleSpanProcessor(spans))
loggers.add_log_record_processor(SimpleLogRecordProcessor(logs))
trace.set_tracer_provider(tracers)
metrics.set_meter_provider(meters)
_logs.set_logger_provider(loggers)
"""

JOIN = """
import tachograph
telemetry = tachograph.configure()
assert trace.get_tracer_provider() is tracers is telemetry.tracer_provider
assert metrics.get_meter_provider() is meters and _logs.get_logger_provider() is loggers
with tachograph.bind(request_id="r-1"), trace.get_tracer("app").start_as_current_span("work"):
    logging.getLogger("app").info("one")
    logging.getLogger("app").info("two", extra={"audit": True})
    with tachograph.tool_call("shell"):
        pass
metrics.get_meter("app").create_counter("app.jobs").add(3)
telemetry.shutdown(10)
with trace.get_tracer("app").start_as_current_span("after"):
    logging.getLogger("app").info("after")
points = {m.name: m.data.data_points[0].value for r in reader.get_metrics_data().resource_metrics
          for s in r.scope_metrics for m in s.metrics if hasattr(m.data.data_points[0], "value")}
print(json.dumps({
    "spans": [[s.name, dict(s.attributes).get("request_id")] for s in spans.get_finished_spans()],
    "logs": [[l.instrumentation_scope.name, dict(l.log_record.attributes).get("request_id")]
             for l in logs.get_finished_logs()],
    "jobs": points["app.jobs"],
    "tools": points["tachograph.tool.calls"],
}))
"""

LOGGING_INSTRUMENTOR = """
import logging
from opentelemetry.instrumentation.logging import LoggingInstrumentor
LoggingInstrumentor().instrument(set_logging_format=True)
logging.getLogger("app").warning("one")
logging.getLogger("app").warning("two")
"""

OLD_HANDLER = """
import logging
from opentelemetry.instrumentation.logging.handler import LoggingHandler
logging.getLogger().addHandler(LoggingHandler())
logging.getLogger("app").warning("one")
"""


class TestJoining:
    def test_the_hosts_exporters_get_everything(self, tmp_path: Path) -> None:
        """
        Providers that the app has set stay in force, and its own exporters see all, with ids and after our end too.
        """
        ended = python(HOST + JOIN, at=tmp_path)
        said = ended.said
        own = [each for each in said["logs"] if each[0] != "tachograph.audit"]

        assert said["spans"] == [["execute_tool shell", "r-1"], ["work", "r-1"], ["after", None]]
        assert own == [["app", "r-1"], ["app", "r-1"]]
        assert (said["jobs"], said["tools"]) == (3, 1)

    def test_ours_get_everything_too(self, tmp_path: Path) -> None:
        """
        Our files hold the same, under the host's resource; the journal has what is marked.

        A provider of the host's goes on after our end, and so does our exporter in it.
        """
        ended = python(HOST + JOIN, at=tmp_path)

        assert Counter(span.name for span in ended.spans) == {"work": 1, "execute_tool shell": 1, "after": 1}
        assert [log.body for log in ended.own_logs] == ["one", "two"]
        assert {each.resource["service.name"] for each in (*ended.spans, *ended.logs)} == {"host"}
        assert {record["event"] for record in ended.audit} == {"log.audit", "agent.tool.call"}
        assert {record["correlation"]["request_id"] for record in ended.audit} == {"r-1"}
        (textfile,) = (name for name in ended.names() if name.endswith(".prom"))
        assert total(families((ended.directory / textfile).read_text()), "app_jobs_total") == 3

    def test_it_is_said(self, tmp_path: Path) -> None:
        """
        One line a provider tells that it was joined, not replaced.
        """
        notices = python(HOST + JOIN, at=tmp_path).notices

        assert len(notices) == 3
        for provider in ("TracerProvider", "MeterProvider", "LoggerProvider"):
            assert sum(f"joined the {provider} that the application has set" in line for line in notices) == 1


class TestNothingTwice:
    @pytest.mark.parametrize(
        ("code", "bodies"),
        [(LOGGING_INSTRUMENTOR, ["one", "two"]), (OLD_HANDLER, ["one"])],
        ids=["instrumentor", "handler"],
    )
    @pytest.mark.parametrize("variable", [{}, {"OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION": "true"}], ids=["", "asked for"])
    def test_upstreams_logging_beside_ours(
        self, code: str, bodies: list[str], variable: dict[str, str], tmp_path: Path
    ) -> None:
        """
        Upstream's instrumentation of logging, or its handler, called by the app itself: each record is exported once.
        """
        ended = python(code, at=tmp_path, zero_code=True, **variable)

        assert [log.body for log in ended.logs] == bodies

    def test_upstreams_instrumentations_are_not_loaded_in_our_place(self, tmp_path: Path) -> None:
        """
        Under zero code, upstream's logging instrumentation is left out even when it is asked for.
        """
        code = (
            "from opentelemetry.instrumentation.logging import LoggingInstrumentor as L; import logging\n"
            "print(L().is_instrumented_by_opentelemetry, logging.root.handlers)"
        )
        ended = python(code, at=tmp_path, zero_code=True, OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION="true")

        assert ended.stdout == "False []\n"

    def test_upstreams_prometheus_exporter_serves_nothing(self, tmp_path: Path) -> None:
        """
        OTEL_METRICS_EXPORTER=prometheus is our reader: upstream's is not imported, and nobody listens twice.
        """
        port = free_port()
        code = (
            "import sys, psutil, json\n"
            "listening = [c.laddr.port for c in psutil.Process().net_connections() if c.status == 'LISTEN']\n"
            "print(json.dumps([listening, 'opentelemetry.exporter.prometheus' in sys.modules]))"
        )
        ended = python(
            code,
            at=tmp_path,
            zero_code=True,
            OTEL_METRICS_EXPORTER="prometheus",
            OTEL_EXPORTER_PROMETHEUS_HOST="127.0.0.1",
            OTEL_EXPORTER_PROMETHEUS_PORT=str(port),
        )

        assert json.loads(ended.stdout) == [[port], False]

    def test_the_host_of_prometheus_client_is_served_beside_us(self, tmp_path: Path) -> None:
        """
        The app's own prometheus_client metrics and ours are each exposed once.
        """
        code = (
            "import prometheus_client as p, urllib.request, os\n"
            "from opentelemetry import metrics\n"
            "p.Counter('own_jobs', 'Jobs.').inc(2)\n"
            "metrics.get_meter('app').create_counter('app.jobs').add(3)\n"
            "port = os.environ['OTEL_EXPORTER_PROMETHEUS_PORT']\n"
            "print(urllib.request.urlopen(f'http://127.0.0.1:{port}/metrics').read().decode())"
        )
        ended = python(
            code,
            at=tmp_path,
            zero_code=True,
            OTEL_METRICS_EXPORTER="prometheus",
            OTEL_EXPORTER_PROMETHEUS_PORT=str(free_port()),
        )
        found = families(ended.stdout)

        assert total(found, "app_jobs_total") == 3
        assert total(found, "own_jobs_total") == 2


class TestAnotherDistribution:
    def test_it_is_said_when_another_was_loaded(self, tmp_path: Path) -> None:
        """
        When another configurator is chosen, one line names the variables that choose ours.
        """
        with Receiver() as receiver:
            ended = run(
                sys.executable,
                "-c",
                "print('ran')",
                at=tmp_path,
                OTEL_PYTHON_CONFIGURATOR="no_such",
                OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
            )

        assert ended.stdout == "ran\n"
        assert len(ended.notices) == 1
        assert "OTEL_PYTHON_CONFIGURATOR=tachograph" in ended.notices[0]

"""OTEL_CONFIG_FILE: the declarative configuration decides, with our parts in it and the audit trail behind it."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from support.otlp_receiver import Receiver
from support.processes import APPS, Ended, families, free_port, get, python, run, start, total

pytestmark = pytest.mark.e2e

SCRIPT = str(APPS / "script.py")

FILES = """
file_format: "1.0"
resource:
  attributes:
    - {name: service.name, value: declared}
propagator:
  composite: [{tracecontext: {}}, {tachograph: {}}]
tracer_provider:
  id_generator: {tachograph: {}}
  processors:
    - batch: {exporter: {tachograph_file: {}}}
meter_provider:
  readers:
    - pull: {exporter: {tachograph_prometheus: {}}}
logger_provider:
  processors:
    - batch: {exporter: {tachograph_file: {}}}
"""

SENT = """
file_format: "1.0"
tracer_provider:
  processors:
    - batch: {exporter: {tachograph_otlp: {endpoint: "${COLLECTOR}/v1/traces"}}}
meter_provider:
  readers:
    - periodic: {exporter: {tachograph_otlp: {endpoint: "${COLLECTOR}/v1/metrics"}}}
logger_provider:
  processors:
    - batch: {exporter: {tachograph_otlp: {endpoint: "${COLLECTOR}/v1/logs"}}}
"""


def configured(at: Path, text: str, *command: str, **variables: str) -> Ended:
    file = at / "otel.yaml"
    file.write_text(text)
    return run(*(command or (sys.executable, SCRIPT)), at=at, OTEL_CONFIG_FILE=str(file), **variables)


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ended, str]:
    at = tmp_path_factory.mktemp("declared")
    file = at / "otel.yaml"
    file.write_text(FILES)
    port = free_port()
    running = start(
        sys.executable,
        SCRIPT,
        at=at,
        OTEL_CONFIG_FILE=str(file),
        APP_WAIT="1",
        OTEL_EXPORTER_PROMETHEUS_HOST="127.0.0.1",
        OTEL_EXPORTER_PROMETHEUS_PORT=str(port),
    )
    try:
        running.wait_for_output("trace_id")
        text = get(f"http://127.0.0.1:{port}/metrics")[2]
        return running.stop(), text
    finally:
        running.kill()


class TestOurParts:
    def test_files(self, declared: tuple[Ended, str]) -> None:
        """
        `tachograph_file` for spans and logs writes into our directory, complete at SIGTERM.
        """
        ended, _ = declared

        assert len(ended.spans) == ended.said["spans"]
        assert len(ended.own_logs) == ended.said["logs"]
        assert {each.resource["service.name"] for each in (*ended.spans, *ended.logs)} == {"declared"}
        assert ended.notices == []

    def test_pull_reader(self, declared: tuple[Ended, str]) -> None:
        """
        `tachograph_prometheus` as a pull reader serves /metrics where the standard variables say.
        """
        ended, text = declared

        assert total(families(text), "app_steps_total") == ended.said["steps"]
        assert total(families(text), "tachograph_tool_calls_total") == ended.said["tools"]

    def test_audit_and_correlation_are_added(self, declared: tuple[Ended, str]) -> None:
        """
        Behind the file's providers stand the audit bridge and the correlation ids.
        """
        ended, _ = declared

        assert len(ended.audit) == ended.said["audit"]
        assert Counter(log.attributes["request_id"] for log in ended.own_logs) == {"req-script-1": ended.said["logs"]}
        assert {span.attributes["request_id"] for span in ended.spans} == {"req-script-1"}

    def test_the_console_names_the_declared_service(self, declared: tuple[Ended, str]) -> None:
        """
        Console lines carry the service of the file's resource.
        """
        assert {line["service"] for line in declared[0].console} == {"declared"}

    def test_propagators_and_id_generator(self, tmp_path: Path) -> None:
        """
        The propagators are those of the file, and ids do not repeat with a seed.
        """
        code = (
            "import random; from opentelemetry import propagate, trace\n"
            "ids = set()\n"
            "for _ in range(20):\n"
            "    random.seed(42)\n"
            "    ids.add(trace.get_tracer('a').start_span('s').get_span_context().trace_id)\n"
            "print(len(ids), sorted(propagate.get_global_textmap().fields))"
        )
        ended = configured(tmp_path, FILES, sys.executable, "-c", code, OTEL_EXPORTER_PROMETHEUS_PORT="0")

        assert ended.stdout == "20 ['X-Request-ID', 'traceparent', 'tracestate']\n"


class TestSent:
    def test_otlp(self, tmp_path: Path) -> None:
        """
        `tachograph_otlp` takes the options that the file gives it, and everything arrives.
        """
        with Receiver() as receiver:
            ended = configured(tmp_path, SENT, COLLECTOR=receiver.url)

        assert len(receiver.spans) == ended.said["spans"]
        assert len([log for log in receiver.logs if not log.is_copy]) == ended.said["logs"]
        assert sum(point.value for point in receiver.points if point.metric == "app.steps") == ended.said["steps"]
        assert len(ended.audit) == ended.said["audit"]
        assert ended.names() == {"audit.jsonl"}
        assert ended.notices == []

    def test_configure_reads_it_too(self, tmp_path: Path) -> None:
        """
        `tachograph.configure()` in a script applies the file as zero code does.
        """
        (tmp_path / "otel.yaml").write_text(SENT)
        with Receiver() as receiver:
            ended = python(
                "import tachograph\ntelemetry = tachograph.configure()\n"
                "with tachograph.stage('one'):\n    pass\nprint(telemetry.shutdown(10))",
                at=tmp_path,
                OTEL_CONFIG_FILE=str(tmp_path / "otel.yaml"),
                COLLECTOR=receiver.url,
            )

        assert ended.stdout == "True\n"
        assert [span.name for span in receiver.spans] == ["stage one"]


class TestFaults:
    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("file_format: '9.0'\n", "9.0"),
            ("file_format: '1.0'\ntracer_provider: {processors: [{batch: {exporter: {nobody: {}}}}]}\n", "nobody"),
            ("{", "otel.yaml"),
        ],
        ids=["format", "exporter", "syntax"],
    )
    def test_a_file_that_cannot_be_used_is_one_line(self, text: str, says: str, tmp_path: Path) -> None:
        """
        A configuration file that cannot be applied costs one line, and the app runs with our defaults and its audit.
        """
        ended = configured(tmp_path, text)

        assert ended.returncode == 0
        assert sum(says in line for line in ended.notices) == 1, ended.stderr[-3000:]
        assert len(ended.notices) == 1
        assert len(ended.audit) == ended.said["audit"]
        assert len(ended.spans) == ended.said["spans"]
        assert len(ended.own_logs) == ended.said["logs"]

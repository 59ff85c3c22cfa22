"""Standard variables win; a wrong one costs itself and says what to write; what cannot be had is one line each."""

import json
import signal
import socket
import sys
from pathlib import Path

import pytest

from support.otlp_receiver import Receiver
from support.processes import APPS, Ended, families, free_port, get, run, start, total

pytestmark = pytest.mark.e2e

SCRIPT = str(APPS / "script.py")


def script(at: Path, directory: Path | None = None, **variables: str) -> Ended:
    return run(sys.executable, SCRIPT, at=at, directory=directory, **{"APP_STEPS": "3", **variables})


class TestStandardVariables:
    def test_no_traces(self, tmp_path: Path) -> None:
        """
        OTEL_TRACES_EXPORTER=none costs traces and nothing else; log lines still name their trace.
        """
        ended = script(tmp_path, OTEL_TRACES_EXPORTER="none")

        assert ended.names() == {"logs.jsonl", "metrics.unknown_service.prom", "audit.jsonl"}
        assert len(ended.own_logs) == ended.said["logs"]
        assert {log.trace_id for log in ended.logs} == {ended.said["trace_id"]}

    def test_metrics_for_prometheus_only(self, tmp_path: Path) -> None:
        """
        OTEL_METRICS_EXPORTER=prometheus serves /metrics and writes no textfile, whatever the mode.
        """
        port = free_port()
        running = start(
            sys.executable,
            SCRIPT,
            at=tmp_path,
            APP_WAIT="1",
            OTEL_METRICS_EXPORTER="prometheus",
            OTEL_EXPORTER_PROMETHEUS_PORT=str(port),
        )
        try:
            running.wait_for_output("trace_id")
            text = get(f"http://localhost:{port}/metrics")[2]
        finally:
            ended = running.stop()

        assert total(families(text), "app_steps_total") == ended.said["steps"]
        assert ended.names() == {"traces.jsonl", "logs.jsonl", "audit.jsonl"}

    def test_logs_on_the_console(self, tmp_path: Path) -> None:
        """
        OTEL_LOGS_EXPORTER=console is upstream's exporter on stdout, in the place of the file.
        """
        ended = script(tmp_path, OTEL_LOGS_EXPORTER="console")
        decoder, text, exported = json.JSONDecoder(), ended.stdout.lstrip(), []
        while text:
            found, end = decoder.raw_decode(text)
            exported.append(found)
            text = text[end:].lstrip()
        said = next(each for each in exported if "steps" in each)

        assert sum("severity_text" in each for each in exported) == said["logs"] + said["audit"] - said["marked"]
        assert "logs.jsonl" not in ended.names()
        assert len(ended.spans) == said["spans"]

    def test_everything_off(self, tmp_path: Path) -> None:
        """
        With OTEL_SDK_DISABLED there is no telemetry; the audit trail and the console go on.
        """
        ended = script(tmp_path, OTEL_SDK_DISABLED="true")

        assert ended.names() == {"audit.jsonl"}
        assert len(ended.audit) == ended.said["audit"]
        assert {record["event"] for record in ended.audit} == {
            "agent.plan.transition",
            "agent.tool.call",
            "config.change",
            "sandbox.activity",
        }
        assert len(ended.console) == ended.said["logs"]
        assert ended.notices == []

    def test_the_resource_is_the_users(self, tmp_path: Path) -> None:
        """
        OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES stand on every signal, the former before the latter.
        """
        ended = script(
            tmp_path,
            OTEL_SERVICE_NAME="planner",
            OTEL_RESOURCE_ATTRIBUTES="service.name=other,deployment.environment.name=prod,service.instance.id=i-1",
        )
        expected = {
            "service.name": "planner",
            "deployment.environment.name": "prod",
            "service.instance.id": "i-1",
            "telemetry.distro.name": "tachograph",
        }

        for each in (*ended.spans, *ended.logs):
            assert expected.items() <= each.resource.items()
        assert total(ended.families("planner"), "target_info", deployment_environment_name="prod") == 1

    def test_propagators_are_the_users(self, tmp_path: Path) -> None:
        """
        OTEL_PROPAGATORS is taken as it is written; without it, ours are tracecontext, baggage and the request id.
        """
        code = "from opentelemetry import propagate as p; print(sorted(p.get_global_textmap().fields))"
        default = run(sys.executable, "-c", code, at=tmp_path)
        given = run(sys.executable, "-c", code, at=tmp_path, OTEL_PROPAGATORS="tracecontext")
        none = run(sys.executable, "-c", code, at=tmp_path, OTEL_PROPAGATORS="none")

        assert default.stdout == "['X-Request-ID', 'baggage', 'traceparent', 'tracestate']\n"
        assert given.stdout == "['traceparent', 'tracestate']\n"
        assert none.stdout == "[]\n"
        assert default.notices == given.notices == none.notices == []

    def test_a_format_for_people(self, tmp_path: Path) -> None:
        """
        TACHOGRAPH_LOG_FORMAT=text writes lines for people, each with its level, logger, event and trace.
        """
        ended = script(tmp_path, TACHOGRAPH_LOG_FORMAT="text")
        lines = ended.stderr.splitlines()

        assert len(lines) == ended.said["logs"]
        assert all(f"trace_id={ended.said['trace_id']}" in line for line in lines)
        assert "app.script  step 0" in lines[0]


class TestWrongValues:
    @pytest.mark.parametrize(
        ("variable", "value", "says"),
        [
            ("OTEL_TRACES_EXPORTER", "oltp", ("traces", "'oltp'", "otlp, ")),
            ("OTEL_METRICS_EXPORTER", "promethius", ("metrics", "'promethius'", "prometheus")),
            ("OTEL_LOGS_EXPORTER", "flie", ("logs", "'flie'", "file")),
            ("OTEL_METRIC_EXPORT_INTERVAL", "0", ("OTEL_METRIC_EXPORT_INTERVAL='0'", "5000")),
            ("TACHOGRAPH_SHUTDOWN_TIMEOUT", "soon", ("TACHOGRAPH_SHUTDOWN_TIMEOUT='soon'", "2.5")),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", ("'localhost:4318'", "http://collector:4318")),
            ("OTEL_EXPORTER_PROMETHEUS_PORT", "http", ("OTEL_EXPORTER_PROMETHEUS_PORT='http'", "9464")),
        ],
    )
    def test_one_line_and_the_rest_works(
        self, variable: str, value: str, says: tuple[str, ...], tmp_path: Path
    ) -> None:
        """
        A wrong value is named in one line with what to write, and the other signals are complete.
        """
        ended = script(tmp_path, **{variable: value})
        signals = {"OTEL_TRACES_EXPORTER": "traces", "OTEL_METRICS_EXPORTER": "metrics", "OTEL_LOGS_EXPORTER": "logs"}

        assert ended.returncode == 0
        assert len(ended.notices) == 1, ended.notices
        assert all(word in ended.notices[0] for word in says), ended.notices[0]
        assert len(ended.audit) == ended.said["audit"]
        if signals.get(variable) != "traces":
            assert len(ended.spans) == ended.said["spans"]
        if signals.get(variable) != "logs":
            assert len(ended.own_logs) == ended.said["logs"]
        if signals.get(variable) != "metrics":
            assert total(ended.families("unknown_service"), "app_steps_total") == ended.said["steps"]

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("OTEL_TRACES_EXPORTER", "oltp"),
            ("TACHOGRAPH_SHUTDOWN_TIMEOUT", "soon"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"),
        ],
    )
    def test_strict_refuses_to_start(self, variable: str, value: str, tmp_path: Path) -> None:
        """
        With TACHOGRAPH_STRICT the app does not run: one line, exit status 78.
        """
        ended = script(tmp_path, TACHOGRAPH_STRICT="1", **{variable: value})

        assert ended.returncode == 78
        assert ended.stdout == ""
        assert len(ended.stderr.splitlines()) == 1
        assert ended.notices[0].startswith("refusing to start: ")
        assert value in ended.notices[0]

    def test_a_protocol_that_is_not_spoken(self, tmp_path: Path) -> None:
        """
        OTEL_EXPORTER_OTLP_PROTOCOL=grpc is one line, and http/protobuf is sent.
        """
        with Receiver() as receiver:
            ended = script(
                tmp_path,
                OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
                OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
                OTEL_EXPORTER_PROMETHEUS_PORT="0",
            )

        assert len(ended.notices) == 1
        assert "write http/protobuf" in ended.notices[0]
        assert len(receiver.spans) == ended.said["spans"]

    def test_strict_has_nothing_against_right_values(self, tmp_path: Path) -> None:
        """
        With TACHOGRAPH_STRICT an app whose settings can be used runs as always.
        """
        ended = script(tmp_path, TACHOGRAPH_STRICT="1", OTEL_TRACES_EXPORTER="tachograph_file,console")

        assert ended.returncode == 0
        assert ended.notices == []
        assert len(ended.spans) == 6

    def test_a_required_audit_refuses_to_start(self, tmp_path: Path) -> None:
        """
        With TACHOGRAPH_AUDIT_REQUIRED and no journal the app does not run: one line, exit status 78.
        """
        (tmp_path / "file").touch()
        ended = script(tmp_path, tmp_path / "file" / "x", TACHOGRAPH_AUDIT_REQUIRED="1")

        assert (ended.returncode, ended.stdout) == (78, "")
        assert len(ended.stderr.splitlines()) == 1
        assert "audit" in ended.notices[0]


class TestWhatCannotBeHad:
    def test_a_taken_port(self, tmp_path: Path) -> None:
        """
        A port of /metrics that somebody holds is one line with what to set; pushing goes on.
        """
        with Receiver() as receiver, socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            ended = script(
                tmp_path,
                OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
                OTEL_EXPORTER_PROMETHEUS_HOST="127.0.0.1",
                OTEL_EXPORTER_PROMETHEUS_PORT=port,
            )

        assert ended.returncode == 0
        assert len(ended.notices) == 1
        assert all(
            word in ended.notices[0] for word in (port, "Address already in use", "OTEL_EXPORTER_PROMETHEUS_PORT")
        )
        assert len(receiver.spans) == ended.said["spans"]
        assert receiver.points

    def test_a_directory_that_cannot_be_made(self, tmp_path: Path) -> None:
        """
        One line says that telemetry's files cannot be written, another that audit records are dropped; the app runs.
        """
        (tmp_path / "file").touch()
        ended = script(tmp_path, tmp_path / "file" / "x", APP_EXIT="3")

        assert ended.returncode == 3
        assert len(ended.console) == ended.said["logs"]
        assert len(ended.notices) == 2, ended.notices
        assert all("Not a directory" in line for line in ended.notices)
        assert sum("audit record dropped" in line for line in ended.notices) == 1
        assert sum("cannot write" in line for line in ended.notices) == 1

    def test_a_collector_that_is_not_there(self, tmp_path: Path) -> None:
        """
        A collector that does not answer is one line for all signals, and the app ends with its own status.
        """
        port = free_port()
        ended = script(
            tmp_path,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
            OTEL_EXPORTER_PROMETHEUS_PORT=str(free_port()),
            TACHOGRAPH_SHUTDOWN_TIMEOUT="1.5",
            APP_EXIT="3",
        )

        assert ended.returncode == 3
        assert len(ended.notices) == 1, ended.notices
        assert "Connection refused" in ended.notices[0]
        assert str(port) in ended.notices[0]
        assert len(ended.console) == ended.said["logs"] == len(ended.stderr.splitlines()) - 1

    def test_sigterm_with_a_dead_collector(self, tmp_path: Path) -> None:
        """
        SIGTERM is obeyed whatever the collector does, and the journal is whole.
        """
        running = start(
            sys.executable,
            SCRIPT,
            at=tmp_path,
            APP_WAIT="1",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}",
            OTEL_EXPORTER_PROMETHEUS_PORT=str(free_port()),
        )
        running.wait_for_output("trace_id")
        ended = running.stop()

        assert ended.returncode == -signal.SIGTERM
        assert len(ended.audit) == ended.said["audit"]

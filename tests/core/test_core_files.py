"""Traces and logs as lines in files that several processes append to, and OTLP."""

import fcntl
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, LogRecordExportResult, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from support.otlp_receiver import Answer, Receiver
from support.processes import Files, environment
from tachograph import notices
from tachograph.export.files import LineFile, LogFileExporter, TraceFileExporter
from tachograph.export.otlp import LogExporter, MetricExporter, SpanExporter


@pytest.fixture(autouse=True)
def _nothing_said():
    notices.forget()
    yield
    notices.forget()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "lines.jsonl"


def spans(*names: str):
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "x"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for name in names:
        provider.get_tracer("test").start_span(name).end()
    return exporter.get_finished_spans()


def logs(*bodies: str):
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    for body in bodies:
        provider.get_logger("test").emit(LogRecord(body=body, severity_number=SeverityNumber.INFO))
    return exporter.get_finished_logs()


class TestLineFile:
    def test_nothing_is_opened_before_the_first_line(self, path: Path) -> None:
        """
        Making the stream makes neither the folder nor the file; writing makes both.
        """
        file = LineFile(path, 1000)
        before = path.parent.exists()
        written = file.write("one é\n")
        file.flush()
        file.close()

        assert (before, written, path.read_text()) == (False, 6, "one é\n")

    def test_a_line_after_close_opens_it_again(self, path: Path) -> None:
        """
        Closing loses nothing and forbids nothing.
        """
        file = LineFile(path, 1000)
        for line in ("one\n", "two\n"):
            file.write(line)
            file.close()
            file.close()

        assert path.read_text() == "one\ntwo\n"

    def test_it_rotates_and_keeps_four(self, path: Path) -> None:
        """
        A file that would grow beyond a quarter of the limit is renamed; four are kept, the live one included.
        """
        file = LineFile(path, 40)
        for number in range(12):
            file.write(f"{number:04d}\n")
        file.close()
        kept = sorted(each.name for each in path.parent.iterdir())

        assert kept == ["lines.1.jsonl", "lines.2.jsonl", "lines.3.jsonl", "lines.jsonl"]
        assert path.read_text() == "0010\n0011\n"
        assert (path.parent / "lines.3.jsonl").read_text() == "0004\n0005\n"

    def test_a_line_larger_than_the_limit_has_a_file_of_its_own(self, path: Path) -> None:
        """
        One line is never cut and never refused.
        """
        file = LineFile(path, 8)
        for line in ("a" * 100 + "\n", "b\n"):
            file.write(line)
        file.close()

        assert (path.parent / "lines.1.jsonl").read_text() == "a" * 100 + "\n"
        assert path.read_text() == "b\n"

    @pytest.mark.parametrize("how", ["renamed", "removed", "replaced"])
    def test_a_file_that_was_moved_away_is_opened_anew(self, path: Path, how: str) -> None:
        """
        A log rotation from outside, or a deletion, costs no later line.
        """
        file = LineFile(path, 1000)
        file.write("one\n")
        if how == "removed":
            path.unlink()
        else:
            path.rename(path.with_suffix(".old"))
        if how == "replaced":
            path.write_text("theirs\n")
        file.write("two\n")
        file.close()

        assert path.read_text() == ("theirs\ntwo\n" if how == "replaced" else "two\n")

    def test_a_file_that_is_rotated_while_we_wait_for_it_is_opened_anew(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Whoever gets the lock on a file that another process has renamed meanwhile writes into the new one.
        """
        file = LineFile(path, 1000)
        file.write("one\n")
        lock = fcntl.flock

        def rotated_meanwhile(descriptor: int, operation: int) -> None:
            monkeypatch.setattr("tachograph.export.files.fcntl.flock", lock)
            path.rename(path.with_name("lines.1.jsonl"))
            lock(descriptor, operation)

        monkeypatch.setattr("tachograph.export.files.fcntl.flock", rotated_meanwhile)
        file.write("two\n")
        file.close()

        assert (path.with_name("lines.1.jsonl").read_text(), path.read_text()) == ("one\n", "two\n")

    def test_a_torn_tail_does_not_ruin_the_next_line(self, path: Path) -> None:
        """
        After a process that died in the middle of a line, the next line starts on a line of its own.
        """
        path.parent.mkdir()
        path.write_text('{"torn')
        file = LineFile(path, 1000)
        file.write("whole\n")
        file.close()

        assert path.read_text() == '{"torn\nwhole\n'

    def test_a_disk_that_refuses_costs_the_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """
        Nothing is raised; one line a minute says so; the file says that it failed until it works again.
        """
        folder = tmp_path / "folder"
        folder.write_text("in the way")
        file = LineFile(folder / "lines.jsonl", 1000)
        file.write("one\n")
        file.write("two\n")
        failed = file.failed
        folder.unlink()
        file.write("three\n")
        file.close()

        assert (failed, file.failed) == (True, False)
        assert (folder / "lines.jsonl").read_text() == "three\n"
        assert len(capsys.readouterr().err.splitlines()) == 1

    def test_a_short_write_is_continued(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A system that takes a part of a line gets the rest of it.
        """
        write = os.write
        file = LineFile(path, 1000)
        monkeypatch.setattr("tachograph.export.files.os.write", lambda fd, data: write(fd, data[:3]))
        file.write("0123456789\n")
        file.close()

        assert path.read_text() == "0123456789\n"

    def test_processes_do_not_mix_their_lines(self, path: Path) -> None:
        """
        Four processes append long lines and rotate at once: every line is whole, and none is lost.
        """
        code = (
            "import sys\nfrom pathlib import Path\nfrom tachograph.export.files import LineFile\n"
            "file = LineFile(Path(sys.argv[1]), 4 * 300_000)\n"
            "for number in range(50):\n    file.write(f'{sys.argv[2]}-{number:03d}-' + sys.argv[2] * 4000 + '\\n')\n"
        )
        running = [
            subprocess.Popen([sys.executable, "-c", code, str(path), name], env=environment(None)) for name in "abcd"
        ]
        assert [each.wait(60) for each in running] == [0, 0, 0, 0]
        lines = [line for file in path.parent.iterdir() for line in file.read_text().splitlines()]

        assert sorted(line[:5] for line in lines) == sorted(
            f"{name}-{number:03d}" for name in "abcd" for number in range(50)
        )
        assert all(set(line[6:]) == {line[0]} and len(line) == 4006 for line in lines)
        assert len(list(path.parent.iterdir())) > 1


class TestExporters:
    def test_spans(self, tmp_path: Path) -> None:
        """
        A batch of spans is one line of OTLP JSON, readable by upstream's own parser.
        """
        exporter = TraceFileExporter(tmp_path / "traces.jsonl", 10**6)
        results = [exporter.export(spans("one", "two")), exporter.export(spans("three"))]
        flushed = exporter.force_flush()
        exporter.shutdown()

        assert results == [SpanExportResult.SUCCESS] * 2
        assert flushed
        assert [span.name for span in Files(tmp_path).spans] == ["one", "two", "three"]
        assert len((tmp_path / "traces.jsonl").read_text().splitlines()) == 2

    def test_logs(self, tmp_path: Path) -> None:
        """
        A batch of log records is one line of OTLP JSON.
        """
        exporter = LogFileExporter(tmp_path / "logs.jsonl", 10**6)
        result = exporter.export(logs("one", "two"))
        flushed = exporter.force_flush()
        exporter.shutdown()

        assert (result, flushed) == (LogRecordExportResult.SUCCESS, True)
        assert [log.body for log in Files(tmp_path).logs] == ["one", "two"]

    def test_a_failure_is_told(self, tmp_path: Path) -> None:
        """
        What could not be written is no success.
        """
        (tmp_path / "file").touch()
        of_spans = TraceFileExporter(tmp_path / "file" / "traces.jsonl", 1000)
        of_logs = LogFileExporter(tmp_path / "file" / "logs.jsonl", 1000)

        assert of_spans.export(spans("one")) is SpanExportResult.FAILURE
        assert of_logs.export(logs("one")) is LogRecordExportResult.FAILURE

    def test_without_arguments_the_settings_say_where(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Made by name, as an entry point is, they write into TACHOGRAPH_DIR.
        """
        monkeypatch.setenv("TACHOGRAPH_DIR", str(tmp_path))
        TraceFileExporter().export(spans("one"))
        LogFileExporter().export(logs("one"))

        assert Files(tmp_path).names() == {"traces.jsonl", "logs.jsonl"}

    def test_a_forked_child_writes_lines_of_its_own(self, tmp_path: Path) -> None:
        """
        A child that was forked after the first line, while a thread held the lock, appends whole lines.
        """
        code = """
import os, sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_core_files import spans
from tachograph.export.files import TraceFileExporter
exporter = TraceFileExporter(Path(sys.argv[1]) / "traces.jsonl", 10**7)
exporter.export(spans("parent"))
held, leave = threading.Event(), threading.Event()
def hold():
    with exporter._exporter._lock:
        held.set(); leave.wait()
threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if child == 0:
    exporter.export(spans("child"))
    exporter.shutdown()
    sys.exit(0)
status = os.waitpid(child, 0)[1]
leave.set()
exporter.export(spans("parent again"))
exporter.shutdown()
sys.exit(os.waitstatus_to_exitcode(status))
"""
        here = Path(__file__).parent
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code, str(tmp_path), str(here)],
            env=environment(None) | {"PYTHONPATH": str(here.parent)},
            check=False,
            timeout=60,
            capture_output=True,
            text=True,
        )

        assert done.returncode == 0, done.stderr
        assert [span.name for span in Files(tmp_path).spans] == ["parent", "child", "parent again"]


class TestOtlp:
    @pytest.fixture
    def export_to(self, monkeypatch: pytest.MonkeyPatch):
        def at(url: str) -> None:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)

        return at

    def test_spans_and_logs_arrive(self, export_to) -> None:
        """
        Both exporters follow the standard variables, and say SUCCESS when the receiver took it.
        """
        with Receiver() as receiver:
            export_to(receiver.url)
            of_spans, of_logs = SpanExporter(), LogExporter()
            results = (of_spans.export(spans("one")), of_logs.export(logs("two")), of_logs.force_flush())
            of_spans.shutdown()
            of_logs.shutdown()

        assert results == (SpanExportResult.SUCCESS, LogRecordExportResult.SUCCESS, True)
        assert [span.name for span in receiver.spans] == ["one"]
        assert [log.body for log in receiver.logs] == ["two"]

    def test_compression(self, export_to, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        OTEL_EXPORTER_OTLP_COMPRESSION is honoured.
        """
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        seen = []
        with Receiver(lambda request: seen.append(request.headers["content-encoding"]) or Answer()) as receiver:
            export_to(receiver.url)
            SpanExporter().export(spans("one"))

        assert seen == ["gzip"]
        assert len(receiver.spans) == 1

    def test_a_refusal_is_one_line_for_all_signals(self, export_to, capsys: pytest.CaptureFixture[str]) -> None:
        """
        What the receiver refuses is FAILURE, and one line a minute instead of one an attempt and signal.
        """
        with Receiver(lambda _request: Answer(status=401)) as receiver:
            export_to(receiver.url)
            results = (SpanExporter().export(spans("one")), LogExporter().export(logs("two")))
            MetricExporter().shutdown()

        said = capsys.readouterr().err.splitlines()
        assert results == (SpanExportResult.FAILURE, LogRecordExportResult.FAILURE)
        assert len(said) == 1
        assert "401" in said[0]
        assert receiver.counts()["spans"] == 0

    def test_the_line_is_not_a_log_record(self, export_to, caplog: pytest.LogCaptureFixture) -> None:
        """
        What upstream logs about the receiver reaches no handler, where it would be exported to that receiver.
        """
        caplog.set_level(logging.DEBUG)
        with Receiver(lambda _request: Answer(status=400)) as receiver:
            export_to(receiver.url)
            SpanExporter().export(spans("one"))

        assert [record for record in caplog.records if "otlp" in record.name] == []


def test_the_receiver_counts_what_it_keeps() -> None:
    """
    The tests' own receiver: refused and partly rejected exports are not counted, kept ones are, resets are survived.
    """
    answers = iter([Answer(status=503), Answer(rejected=1, message="no"), Answer(reset=True), Answer(), Answer()])
    with Receiver(lambda _request: next(answers)) as receiver:
        exporter = SpanExporter(endpoint=f"{receiver.url}/v1/traces", timeout=10)
        exporter.export(spans("retried after 503, then rejected"))
        exporter.export(spans("reset, then kept"))
        exporter.export(spans("kept"))
        receiver.wait_for(lambda each: each.requests["traces"] == 5)

    assert [span.name for span in receiver.spans] == ["reset, then kept", "kept"]
    assert json.dumps(receiver.counts())
    assert trace.get_current_span() is trace.INVALID_SPAN

"""
All signals in memory, for tests of applications.

::

    with tachograph.testing.capture() as telemetry:
        run_the_agent()

    assert telemetry.span("execute_tool shell").attributes["tachograph.outcome"] == "blocked"
    assert telemetry.value("tachograph.tool.calls", outcome="blocked") == 1
    assert telemetry.audit[-1]["event"] == "agent.tool.call"

What was captured stays readable after the block.
"""

import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tachograph import audit
from tachograph.bootstrap import audit_at, current, hooks, logs, measures, traces
from tachograph.genai.budgets import ACCOUNTS
from tachograph.logs.config import LogOptions
from tachograph.metrics import RECORDER
from tachograph.operations.approvals import QUEUE
from tachograph.operations.facts import forget_populations
from tachograph.scrape import app
from tachograph.scrape.reader import PrometheusReader

T = TypeVar("T")

__all__ = ["Captured", "Point", "capture"]


@dataclass(frozen=True)
class Point:
    """One data point: `value` is a number, or a histogram's count; `sum` is a histogram's sum in the metric's unit."""

    metric: str
    attributes: Mapping[str, Any]
    value: float
    sum: float | None = None


@dataclass
class Captured:
    """What was recorded since the capture began."""

    _spans: InMemorySpanExporter
    _logs: InMemoryLogRecordExporter
    _reader: InMemoryMetricReader
    _prometheus: PrometheusReader
    _journal: Path
    _final: dict[str, Any] = field(default_factory=dict)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """Finished spans, in the order in which they ended."""
        return self._get("spans", self._spans.get_finished_spans)

    @property
    def logs(self) -> tuple[ReadableLogRecord, ...]:
        """Log records that reached OpenTelemetry, in order."""
        return self._get("logs", lambda: tuple(self._logs.get_finished_logs()))

    @property
    def audit(self) -> tuple[dict[str, Any], ...]:
        """Audit records as they stand in the journal, without the journal's own."""
        return tuple(record for record in self.journal if not record["event"].startswith("audit."))

    @property
    def journal(self) -> tuple[dict[str, Any], ...]:
        """Every line of the journal."""
        return self._get("journal", self._read_journal)

    def metrics(self, name: str | None = None) -> tuple[Point, ...]:
        """Return data points, those of the metric `name` alone when it is given."""
        points = self._get("metrics", lambda: tuple(_points(self._reader.get_metrics_data())))
        return tuple(point for point in points if name in (None, point.metric))

    def metrics_text(self, *, openmetrics: bool = False) -> str:
        """Return what `/metrics` would answer."""
        return self._get(f"text {openmetrics}", lambda: self._prometheus.text(openmetrics=openmetrics))

    def span(self, name: str) -> ReadableSpan:
        """Return the only span of this name; an AssertionError names those that there are."""
        found = [span for span in self.spans if span.name == name]
        if len(found) != 1:
            raise AssertionError(
                f"{len(found)} spans are named {name!r}; there are {[each.name for each in self.spans]}"
            )
        return found[0]

    def value(self, metric: str, **labels: object) -> float:
        """
        Return the sum of the points of `metric` whose attributes match `labels`; 0 when there are none.

        A label is named in full with underscores, or by its last word: `gen_ai_tool_name="sh"`, `outcome="failure"`.
        """
        return sum(point.value for point in self.metrics(metric) if _matches(point.attributes, labels))

    def freeze(self) -> None:
        """Read everything once; what is recorded later is not seen."""
        self._final = {
            "spans": self.spans,
            "logs": self.logs,
            "journal": self.journal,
            "metrics": self.metrics(),
            "text False": self.metrics_text(),
            "text True": self.metrics_text(openmetrics=True),
        }

    def _get(self, key: str, read: Callable[[], T]) -> T:
        return cast("T", self._final[key]) if key in self._final else read()

    def _read_journal(self) -> tuple[dict[str, Any], ...]:
        if not self._journal.exists():
            return ()
        return tuple(json.loads(line) for line in self._journal.read_bytes().splitlines())


@dataclass(frozen=True)
class _Stage:
    """The process's providers with our in-memory exporters on them; made once, since OpenTelemetry allows one set."""

    meter_provider: MeterProvider
    spans: InMemorySpanExporter
    logs: InMemoryLogRecordExporter


_stage: _Stage | None = None
_in_force: list[bool] = []


@contextmanager
def capture() -> Iterator[Captured]:
    """
    Capture every signal of the block; RuntimeError inside another capture.

    The first capture of a process sets the global providers unless the application has; audit records go to a journal
    of their own, also those of an application that calls `configure` inside the block.
    """
    if _in_force:
        raise RuntimeError("a capture is in force already; read from that one, or end it before the next")
    _in_force.append(True)
    try:
        yield from _captured()
    finally:
        _in_force.clear()


def _captured() -> Iterator[Captured]:
    stage = _set_stage()
    stage.spans.clear()
    stage.logs.clear()
    _forget()
    reader, prometheus = InMemoryMetricReader(), PrometheusReader()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tachograph-")))
        for each in (reader, prometheus):
            stage.meter_provider.add_metric_reader(each)
            stack.callback(stage.meter_provider.remove_metric_reader, each)
        stack.enter_context(audit_at(audit.JournalOptions(path=folder / "audit.jsonl", service_name="test")))
        stack.enter_context(_served_by(prometheus))
        if current() is None:
            stack.callback(hooks.install(LogOptions(service="test", format="json", level=logging.INFO)))
            stack.enter_context(_level_of_production())
        captured = Captured(stage.spans, stage.logs, reader, prometheus, folder / "audit.jsonl")
        try:
            yield captured
        finally:
            captured.freeze()


def _forget() -> None:
    """Drop what lives as long as the process and would show in this capture: gauges, budgets, admitted labels."""
    RECORDER.after_fork()
    forget_populations()
    QUEUE.after_fork()
    ACCOUNTS.forget()


@contextmanager
def _level_of_production() -> Iterator[None]:
    """Let INFO pass as it would outside a test, where no handler of a test runner is on root."""
    root = logging.getLogger()
    if root.level != logging.WARNING:
        yield
        return
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(logging.WARNING)


@contextmanager
def _served_by(reader: PrometheusReader) -> Iterator[None]:
    before = app.in_force()
    app.install(reader)
    try:
        yield
    finally:
        if app.in_force() is reader:  # else the application has been configured inside the block
            app.install(before)


def _set_stage() -> _Stage:
    global _stage
    if _stage is None:
        resource = Resource.create({"service.name": "test"})
        _stage = _Stage(_meter_provider(resource), _span_exporter(resource), _log_exporter(resource))
        measures.observe_health()
    return _stage


def _meter_provider(resource: Resource) -> MeterProvider:
    provider = metrics.get_meter_provider()
    if not isinstance(provider, MeterProvider):
        provider = MeterProvider(resource=resource, shutdown_on_exit=False)
        metrics.set_meter_provider(provider)
    RECORDER.bind(provider)
    return provider


def _span_exporter(resource: Resource) -> InMemorySpanExporter:
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        traces.correlate(provider)
        trace.set_tracer_provider(provider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


def _log_exporter(resource: Resource) -> InMemoryLogRecordExporter:
    provider = _logs.get_logger_provider()
    if not isinstance(provider, LoggerProvider):
        provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        _logs.set_logger_provider(provider)
    if current() is None:
        logs.prepare(provider)
    exporter = InMemoryLogRecordExporter()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    return exporter


def _points(data: MetricsData | None) -> Iterator[Point]:
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    yield _point(metric.name, point)


def _point(name: str, point: Any) -> Point:
    attributes = dict(point.attributes or {})
    if hasattr(point, "value"):
        return Point(name, attributes, point.value)
    return Point(name, attributes, point.count, point.sum)


def _matches(attributes: Mapping[str, Any], labels: Mapping[str, object]) -> bool:
    flat = {key.replace(".", "_"): value for key, value in attributes.items()}
    short = {key.rsplit(".", 1)[-1]: value for key, value in attributes.items()}
    return all(flat.get(key, short.get(key)) == value for key, value in labels.items())

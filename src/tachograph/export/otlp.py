"""OTLP over http/protobuf, configured by the standard `OTEL_EXPORTER_OTLP_*` variables."""

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from tachograph._otel import otlp_log_exporter, take_transport
from tachograph.notices import notice_at_most


class _Connection:
    """Tells a process that its exporter's keep-alive connection is its parent's, where answers would get mixed up."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._owner = os.getpid()

    def renew(self, exporter: object, make: Callable[..., object]) -> None:
        """Give `exporter` a connection of its own in a forked child; `make` builds another exporter of its kind."""
        if self._owner != os.getpid():
            take_transport(exporter, make(**self._options))
            self._owner = os.getpid()


class SpanExporter(OTLPSpanExporter):
    """Sends spans to `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._connection = _Connection(**options)
        _say_once("trace_exporter")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; FAILURE when the receiver did not take it."""
        self._connection.renew(self, OTLPSpanExporter)
        return super().export(spans)


class MetricExporter(OTLPMetricExporter):
    """Sends metrics to `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._connection = _Connection(**options)
        _say_once("metric_exporter")

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Send a collection; FAILURE when the receiver did not take it."""
        self._connection.renew(self, OTLPMetricExporter)
        return super().export(metrics_data, timeout_millis, **kwargs)


class LogExporter(LogRecordExporter):
    """Sends log records to `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT`."""

    def __init__(self, **options: Any) -> None:
        self._exporter = otlp_log_exporter(**options)
        self._connection = _Connection(**options)
        _say_once("_log_exporter")

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Send a batch; FAILURE when the receiver did not take it."""
        self._connection.renew(self._exporter, otlp_log_exporter)
        return self._exporter.export(batch)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True: an export is over when it returns."""
        return True

    def shutdown(self) -> None:
        """Close the connection."""
        self._exporter.shutdown()


class _OneLine(logging.Filter):
    """What upstream logs about a collector, at every attempt of every signal, becomes one line a minute."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Say it, unless it is only that telemetry has ended, and keep the record from handlers."""
        message = record.getMessage()
        if not message.startswith("Exporter already shutdown"):
            notice_at_most("otlp", f"telemetry does not reach the collector: {message}")
        return False


_ONE_LINE = _OneLine()


def _say_once(module: str) -> None:
    logging.getLogger(f"opentelemetry.exporter.otlp.proto.http.{module}").addFilter(_ONE_LINE)

"""OTLP over http/protobuf, configured by the standard `OTEL_EXPORTER_OTLP_*` variables."""

import logging
from collections.abc import Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

from tachograph._otel import otlp_log_exporter
from tachograph.notices import notice_at_most


class SpanExporter(OTLPSpanExporter):
    """Sends spans to `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        _say_once("trace_exporter")


class MetricExporter(OTLPMetricExporter):
    """Sends metrics to `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        _say_once("metric_exporter")


class LogExporter(LogRecordExporter):
    """Sends log records to `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT`."""

    def __init__(self, **options: Any) -> None:
        self._exporter = otlp_log_exporter(**options)
        _say_once("_log_exporter")

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Send a batch; FAILURE when the receiver did not take it."""
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
        """Say it, and keep the record from handlers."""
        notice_at_most("otlp", f"telemetry does not reach the collector: {record.getMessage()}")
        return False


_ONE_LINE = _OneLine()


def _say_once(module: str) -> None:
    logging.getLogger(f"opentelemetry.exporter.otlp.proto.http.{module}").addFilter(_ONE_LINE)

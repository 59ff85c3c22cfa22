"""OTLP over http/protobuf, configured by the standard `OTEL_EXPORTER_OTLP_*` variables."""

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

from tachograph._otel import otlp_log_exporter


class SpanExporter(OTLPSpanExporter):
    """Sends spans to `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT`."""


class MetricExporter(OTLPMetricExporter):
    """Sends metrics to `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT`."""


class LogExporter(LogRecordExporter):
    """Sends log records to `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT`."""

    def __init__(self) -> None:
        self._exporter = otlp_log_exporter()

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Send a batch; FAILURE when the receiver did not take it."""
        return self._exporter.export(batch)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True: an export is over when it returns."""
        return True

    def shutdown(self) -> None:
        """Close the connection."""
        self._exporter.shutdown()

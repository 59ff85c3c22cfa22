"""The logger provider: audit bridge first, then correlation, then export."""

from opentelemetry import _logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.resources import Resource

from tachograph._otel import put_first
from tachograph.audit.bridge import AuditBridge
from tachograph.bootstrap import components
from tachograph.bootstrap.telemetry import Part
from tachograph.logs.correlate import CorrelationLogProcessor
from tachograph.settings import Settings


def build(settings: Settings, names: tuple[str, ...], resource: Resource) -> LoggerProvider:
    """Make a provider with an exporter for each name; ended by `part`, never by the SDK's own exit handler."""
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_log_record_processor(AuditBridge())
    _add(provider, settings, names)
    return provider


def join(provider: LoggerProvider, settings: Settings, names: tuple[str, ...]) -> bool:
    """Add our processors to the host's provider; False when the audit bridge could not be made the first."""
    first = put_first(provider, AuditBridge())
    _add(provider, settings, names)
    return first


def part(provider: LoggerProvider, *, ours: bool) -> Part:
    """Return how this provider is flushed and ended; one that the host built is only flushed."""

    def flush(seconds: float) -> bool:
        return provider.force_flush(int(seconds * 1000))

    def shutdown(_seconds: float) -> bool:
        provider.shutdown()
        return True

    return Part("logs", flush, shutdown if ours else flush)


def in_force() -> LoggerProvider | None:
    """Return the SDK provider that the host has set, if it has."""
    provider = _logs.get_logger_provider()
    return provider if isinstance(provider, LoggerProvider) else None


def _add(provider: LoggerProvider, settings: Settings, names: tuple[str, ...]) -> None:
    provider.add_log_record_processor(CorrelationLogProcessor())
    for exporter in components.each("logs", names, lambda name: _exporter(name, settings)):
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter))


def _exporter(name: str, settings: Settings) -> LogRecordExporter:
    if name == "file":
        from tachograph.export.files import LogFileExporter

        return LogFileExporter(settings.directory / "logs.jsonl", settings.file_bytes)
    if name == "otlp":
        from tachograph.export.otlp import LogExporter

        return LogExporter()
    return components.load("opentelemetry_logs_exporter", name, LogRecordExporter)

"""The logger provider: audit bridge first, then correlation, then export."""

import sys
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry import _logs
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk._logs import Logger, LoggerProvider, LogRecordLimits, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.resources import Resource

from tachograph._otel import put_first, uncut_log_records
from tachograph.audit.bridge import AuditBridge
from tachograph.bootstrap import components
from tachograph.bootstrap.deliveries import Deliveries
from tachograph.bootstrap.telemetry import Part
from tachograph.contain import contain
from tachograph.logs.correlate import CorrelationLogProcessor
from tachograph.settings import Settings

_prepared: WeakSet[LoggerProvider] = WeakSet()  # a second bridge would journal everything twice
_delivered: WeakKeyDictionary[LoggerProvider, Deliveries] = WeakKeyDictionary()


class LimitProcessor(LogRecordProcessor):
    """
    Applies the limits of `OTEL_(LOGRECORD_)ATTRIBUTE_*` to what is exported, behind the audit bridge.

    In front of it they would let whoever controls an application's attributes push `audit` out of a record.
    """

    def __init__(self) -> None:
        self._limits = LogRecordLimits()
        self._more: dict[str, Any] = {} if uncut_log_records() else {"extended_attributes": True}

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Cut the record's attributes, the oldest first, as the SDK does."""
        with contain("logs.limits"):
            log_record.log_record.attributes = BoundedAttributes(
                maxlen=self._limits.max_log_record_attributes,
                attributes=log_record.log_record.attributes,
                immutable=False,
                max_value_len=self._limits.max_log_record_attribute_length,
                **self._more,
            )

    def shutdown(self) -> None:
        """Do nothing: no record is held."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True: no record is held."""
        return True


class WholeLogger(_logs.Logger):
    """Hands over records as ready-made, without limits: how SDKs whose providers take none leave them whole."""

    def __init__(self, logger: Any) -> None:
        super().__init__(logger.instrumentation_scope.name)
        self._logger = logger
        self._limits = LogRecordLimits(sys.maxsize, sys.maxsize, sys.maxsize, sys.maxsize)

    def emit(self, record: _logs.LogRecord | None = None, **given: Any) -> None:
        """Emit `record`, or one made of what is `given`."""
        ready = ReadWriteLogRecord(
            log_record=_logs.LogRecord(**given) if record is None else record,
            resource=self._logger.resource,
            instrumentation_scope=self._logger.instrumentation_scope,
            limits=self._limits,
        )
        self._logger.emit(ready)

    def enabled(self, **given: Any) -> bool:
        """Ask the SDK's logger."""
        return bool(self._logger.enabled(**given))


class WholeLoggerProvider(LoggerProvider):
    """A provider that cuts nothing before its first processor."""

    def get_logger(self, *args: Any, **given: Any) -> _logs.Logger:
        """Return a logger for the scope that the arguments name."""
        logger = super().get_logger(*args, **given)
        return WholeLogger(logger) if isinstance(logger, Logger) else logger


def build(settings: Settings, names: tuple[str, ...], resource: Resource) -> LoggerProvider:
    """Make a provider with an exporter for each name; ended by `part`, never by the SDK's own exit handler."""
    uncut = uncut_log_records()
    provider = (LoggerProvider if uncut else WholeLoggerProvider)(resource=resource, shutdown_on_exit=False, **uncut)
    prepare(provider)
    provider.add_log_record_processor(LimitProcessor())
    _add(provider, settings, names)
    return provider


def join(provider: LoggerProvider, settings: Settings, names: tuple[str, ...]) -> bool:
    """Add our processors to the host's provider; False when the audit bridge could not be made the first."""
    first = prepare(provider)
    _add(provider, settings, names)
    return first


def prepare(provider: LoggerProvider) -> bool:
    """Put the audit bridge first and the correlation ids behind it, once; False when others see records before it."""
    if provider in _prepared:
        return True
    _prepared.add(provider)
    first = put_first(provider, AuditBridge())
    provider.add_log_record_processor(CorrelationLogProcessor())
    return first


def part(provider: LoggerProvider, *, ours: bool) -> Part:
    """Return how this provider is flushed and ended; one that the host built is only flushed."""

    def flush(seconds: float) -> bool:
        return provider.force_flush(int(seconds * 1000))

    def shutdown(_seconds: float) -> bool:
        provider.shutdown()
        return True

    told = _deliveries(provider).told
    return Part("logs", told(flush), told(shutdown if ours else flush))


def in_force() -> LoggerProvider | None:
    """Return the SDK provider that the host has set, if it has."""
    provider = _logs.get_logger_provider()
    return provider if isinstance(provider, LoggerProvider) else None


def _deliveries(provider: LoggerProvider) -> Deliveries:
    return _delivered.setdefault(provider, Deliveries())


def _add(provider: LoggerProvider, settings: Settings, names: tuple[str, ...]) -> None:
    for exporter in components.each("logs", names, lambda name: _exporter(name, settings)):
        provider.add_log_record_processor(BatchLogRecordProcessor(_deliveries(provider).watch(exporter)))


def _exporter(name: str, settings: Settings) -> LogRecordExporter:
    if name == "file":
        from tachograph.export.files import LogFileExporter

        return LogFileExporter(settings.directory / "logs.jsonl", settings.file_bytes)
    if name == "otlp":
        from tachograph.export.otlp import LogExporter

        return LogExporter(endpoint=settings.endpoint_of("logs"))
    return components.load("opentelemetry_logs_exporter", name, LogRecordExporter)

"""Correlation ids on log records that are emitted through OpenTelemetry directly."""

from collections.abc import MutableMapping

from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.util.types import AnyValue

from tachograph import correlation
from tachograph.contain import contain


class CorrelationLogProcessor(LogRecordProcessor):
    """Adds the correlation ids in force to every log record, where it has none of that name."""

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Add the ids of the record's own context."""
        with contain("logs.correlate"):
            _add_ids(log_record)

    def shutdown(self) -> None:
        """Do nothing: the processor holds nothing."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Have nothing to flush."""
        return True


def _add_ids(log_record: ReadWriteLogRecord) -> None:
    record = log_record.log_record
    found = record.attributes
    missing: dict[str, AnyValue] = dict(correlation.ids(record.context))
    if isinstance(found, MutableMapping):
        found.update({key: value for key, value in missing.items() if key not in found})

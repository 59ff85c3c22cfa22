"""The copy of a record that goes through the OpenTelemetry logs API, so that it stands with the other logs."""

from opentelemetry._logs import LogRecord, SeverityNumber, get_logger

from tachograph.audit.chain import Record
from tachograph.contain import contain

SCOPE = "tachograph.audit"


class MirrorRecord(LogRecord):
    """A log record that is a line of the journal already; its type says so, which no author of a log can write."""


def attributes(record: Record) -> dict[str, str | int]:
    """Return what tells the far end which line of which stream a log record is."""
    return {
        "audit.sequence.stream_id": record.stream,
        "audit.sequence.number": record.seq,
        "audit.record.hash": record.hash,
    }


def emit(record: Record) -> None:
    """Send `record` to the logger provider in force; never raises."""
    with contain("audit.mirror"):
        get_logger(SCOPE).emit(
            MirrorRecord(
                timestamp=record.time_ns,
                severity_number=SeverityNumber.INFO,
                severity_text="INFO",
                body=record.line.decode("ascii"),
                attributes=attributes(record),
                event_name=record.event,
            )
        )

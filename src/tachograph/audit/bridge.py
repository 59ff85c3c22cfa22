"""The front door: log records that say `audit`, or are named as audit events, go to the journal before any export."""

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord

from tachograph import audit, intake
from tachograph.audit import entry, mirror
from tachograph.audit.chain import Record
from tachograph.audit.entry import Origin
from tachograph.audit.mirror import MirrorRecord
from tachograph.contain import contain
from tachograph.intake import AuditEvent, MarkedRecord, is_marked

_PLACES = ("audit.sequence.stream_id", "audit.sequence.number", "audit.record.hash")

Write = Callable[[AuditEvent, Origin], Record | None]


class AuditBridge(LogRecordProcessor):
    """
    Journals what asks for it; must be the first processor of its provider, so that nothing unaudited is exported.

    A journaled record gets the attributes that tell its line; on any other, attributes of these names are removed.
    """

    def __init__(self, write: Write = audit.write) -> None:
        self._write = write

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Journal the record if it is for the audit, fail open; never raises."""
        if isinstance(log_record.log_record, MirrorRecord):
            return
        with contain("audit.bridge"):
            written = self._journaled(log_record)
            _mark(log_record, mirror.attributes(written) if written is not None else {})

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Put everything journaled on the disk; False when that did not succeed."""
        return audit.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Put everything journaled on the disk; the journal stays open for those who use it directly."""
        audit.flush()

    def _journaled(self, log_record: ReadWriteLogRecord) -> Record | None:
        if isinstance(log_record.log_record, MarkedRecord):
            event = log_record.log_record.slip.take()
            return None if event is None else self._write(event, _origin(log_record))

        fields = _fields(log_record)
        if not is_wanted(log_record, fields):
            return None
        where = _origin(log_record)
        return self._write(_event(log_record, fields, where), where)


def is_wanted(log_record: ReadWriteLogRecord, fields: Mapping[str, object]) -> bool:
    """Tell whether a record is for the audit: it says so in any form, or its event name or scope do."""
    name = log_record.log_record.event_name
    return is_marked(fields.get("audit")) or name in entry.EVENTS or _scope(log_record) == mirror.SCOPE


def _event(log_record: ReadWriteLogRecord, fields: Mapping[str, object], where: Origin) -> AuditEvent:
    body = log_record.log_record.body
    return intake.read(
        fields,
        logger=_scope(log_record),
        name=log_record.log_record.event_name,
        message=None if isinstance(body, Mapping) else entry.plain(body),
        ids=where.ids,
    )


def _fields(log_record: ReadWriteLogRecord) -> dict[str, Any]:
    body = log_record.log_record.body
    fields = entry.plain(body) if isinstance(body, Mapping) else {}
    return {**(fields if isinstance(fields, dict) else {}), **(log_record.log_record.attributes or {})}


def _origin(log_record: ReadWriteLogRecord) -> Origin:
    where = audit.origin(log_record.log_record.context)
    span = log_record.log_record
    return Origin(actor=where.actor, ids=where.ids, trace_id=span.trace_id or 0, span_id=span.span_id or 0)


def _scope(log_record: ReadWriteLogRecord) -> str:
    scope = log_record.instrumentation_scope
    return scope.name if scope is not None else ""


def _mark(log_record: ReadWriteLogRecord, places: Mapping[str, str | int]) -> None:
    attributes = log_record.log_record.attributes
    if not isinstance(attributes, MutableMapping):
        return
    for name in _PLACES:
        attributes.pop(name, None)
    for name, value in places.items():
        attributes[name] = value

"""From a log entry to an OpenTelemetry log record, and to an audit event where it is for the journal."""

from collections.abc import Mapping
from typing import Any, cast

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.util.types import AnyValue

from tachograph import intake
from tachograph.catalogue.events import EVENTS
from tachograph.intake import AuditEvent, MarkedRecord, Slip
from tachograph.logs.fields import EXCEPTION_NAMES, Entry, exception_fields, plain, text, uniform
from tachograph.notices import notice_once

EVENT_NAMES = ("otel.event.name", "event.name")
MAX_ATTRIBUTES = 128

_SEVERITY_TEXT = {"WARNING": "WARN", "CRITICAL": "FATAL"}
_AUDITED = frozenset(event.name for event in EVENTS)
_KEPT = (
    "event",
    "audit",
    *(prefix + name for prefix in ("", "audit.") for name in ("actor", "action", "resource", "outcome")),
)


def is_audited(entry: Entry) -> bool:
    """Tell whether `entry` is for the journal: it says so, or its event name is one of the audit's list."""
    return entry.audit or event_name(entry.fields) in _AUDITED


def to_otel(entry: Entry, ids: Mapping[str, str], slip: Slip | None = None) -> LogRecord:
    """
    Translate `entry`, made under the correlation ids `ids`; the current context gives trace and span.

    With the `slip` of an entry for the journal, it stands beside the attributes.
    """
    given: dict[str, Any] = {
        "timestamp": entry.nanos,
        "severity_number": severity(entry.level),
        "severity_text": _SEVERITY_TEXT.get(entry.level_name, entry.level_name),
        "body": entry.body,
        "attributes": attributes(entry, ids),
        "event_name": event_name(entry.fields),
    }
    return LogRecord(**given) if slip is None else MarkedRecord(slip, **given)


def severity(level: int) -> SeverityNumber:
    """Map a level of `logging` to OpenTelemetry's scale; levels between two names get the numbers between."""
    if level < 1:
        return SeverityNumber.UNSPECIFIED
    if level < 10:
        return SeverityNumber.TRACE
    tens, ones = divmod(min(level, 59), 10)
    return SeverityNumber(1 + 4 * tens + min(ones, 3))


def event_name(fields: Mapping[str, object]) -> str | None:
    """Return the event's name when the app gave one."""
    for key in EVENT_NAMES:
        if fields.get(key) is not None:
            return text(fields[key])
    return None


def attributes(entry: Entry, ids: Mapping[str, str]) -> dict[str, AnyValue]:
    """Return the attributes of `entry`: its own fields, the ids in force and the exception; None is left out."""
    found = {**ids, **_said(entry)}
    if len(found) > MAX_ATTRIBUTES:
        found = _cut(found, ids)
    return {
        text(key) or "_": cast("AnyValue", uniform(plain(value))) for key, value in found.items() if value is not None
    }


def to_audit(entry: Entry, ids: Mapping[str, str]) -> AuditEvent:
    """Translate an entry for the journal, with its values as they are; ids that are those in force are no meta."""
    return intake.read(_said(entry), logger=entry.logger, name=event_name(entry.fields), message=entry.body, ids=ids)


def _said(entry: Entry) -> dict[str, object]:
    said = {**entry.fields, **exception_fields(entry.error)}
    for key in EVENT_NAMES:
        said.pop(key, None)
    return said


def _cut(found: dict[str, object], ids: Mapping[str, str]) -> dict[str, object]:
    notice_once("logs.attributes", f"a log record had {len(found)} attributes; the first {MAX_ATTRIBUTES} are exported")
    kept = {key: found[key] for key in (*ids, *EXCEPTION_NAMES, *_KEPT) if key in found}
    rest = [key for key in found if key not in kept][: max(MAX_ATTRIBUTES - len(kept), 0)]
    return {**{key: found[key] for key in rest}, **kept}  # the SDK, with less room, lets the first go first

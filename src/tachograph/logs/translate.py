"""From a log entry to an OpenTelemetry log record, or to an audit event where OpenTelemetry is switched off."""

import re
from collections.abc import Mapping
from typing import cast

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.util.types import AnyValue

from tachograph.intake import AuditEvent
from tachograph.logs.fields import EXCEPTION_NAMES, Entry, exception_fields, plain, text, uniform
from tachograph.notices import notice_once

EVENT_NAMES = ("otel.event.name", "event.name")
MAX_ATTRIBUTES = 128

_SEVERITY_TEXT = {"WARNING": "WARN", "CRITICAL": "FATAL"}
_OUTCOMES = ("success", "failure", "unknown")
_DOTTED = re.compile(r"[\w-]+(\.[\w-]+)+", re.ASCII)
_AUDIT_FIELDS = frozenset(
    ("audit", *EVENT_NAMES, *(p + name for p in ("", "audit.") for name in ("actor", "action", "resource", "outcome")))
)


_KEPT = ("event", *sorted(_AUDIT_FIELDS))


def to_otel(entry: Entry, ids: Mapping[str, str], *, whole: bool = False) -> LogRecord:
    """
    Translate `entry`, made under the correlation ids `ids`; the current context gives trace and span.

    `whole` says that its provider cuts nothing before the audit bridge.
    """
    return LogRecord(
        timestamp=entry.nanos,
        severity_number=severity(entry.level),
        severity_text=_SEVERITY_TEXT.get(entry.level_name, entry.level_name),
        body=entry.body,
        attributes=attributes(entry, ids, whole=whole),
        event_name=event_name(entry.fields),
    )


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


def attributes(entry: Entry, ids: Mapping[str, str], *, whole: bool = False) -> dict[str, AnyValue]:
    """
    Return the attributes of `entry`: its own fields, the ids in force and the exception; None is left out.

    With `whole`, what is marked `audit` keeps them all.
    """
    found = {**ids, **entry.fields}
    found.update(exception_fields(entry.error))
    for key in EVENT_NAMES:
        found.pop(key, None)
    if len(found) > MAX_ATTRIBUTES and not (whole and entry.audit):
        found = _cut(found, ids)
    return {
        text(key) or "_": cast("AnyValue", uniform(plain(value))) for key, value in found.items() if value is not None
    }


def to_audit(entry: Entry, ids: Mapping[str, str]) -> AuditEvent:
    """Translate an entry marked `audit`; what has no place of its own in the event goes to `meta`."""
    name = event_name(entry.fields) or (entry.body if _DOTTED.fullmatch(entry.body) else "log.audit")
    outcome = _audit_field(entry, "outcome", "unknown")
    meta = {key: value for key, value in attributes(entry, {}).items() if _is_meta(key, value, ids)}
    if entry.body != name:
        meta["message"] = entry.body
    if outcome not in _OUTCOMES:
        meta["outcome"] = cast("AnyValue", outcome)
    return AuditEvent(
        event=name,
        action=text(_audit_field(entry, "action", "LOG")),
        resource=_named(_audit_field(entry, "resource", f"logger:{entry.logger}")),
        actor=None if _audit_field(entry, "actor", None) is None else _named(_audit_field(entry, "actor", None)),
        outcome=text(outcome) if outcome in _OUTCOMES else "unknown",
        meta=meta,
    )


def _audit_field(entry: Entry, name: str, default: object) -> object:
    for key in (f"audit.{name}", name):
        if entry.fields.get(key) is not None:
            return plain(entry.fields[key])
    return default


def _named(value: object) -> str | Mapping[str, object]:
    return value if isinstance(value, dict) else text(value)


def _is_meta(key: str, value: object, ids: Mapping[str, str]) -> bool:
    return key not in _AUDIT_FIELDS and ids.get(key) != value


def _cut(found: dict[str, object], ids: Mapping[str, str]) -> dict[str, object]:
    notice_once("logs.attributes", f"a log record had {len(found)} attributes; the first {MAX_ATTRIBUTES} are exported")
    kept = {key: found[key] for key in (*_KEPT, *ids, *EXCEPTION_NAMES) if key in found}
    for key, value in found.items():
        if len(kept) >= MAX_ATTRIBUTES:
            break
        kept.setdefault(key, value)
    return kept

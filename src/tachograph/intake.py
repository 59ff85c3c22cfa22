"""
Where features hand over audit events, whichever journal is in force.

Operations, log handlers and dialect readers call `submit`; bootstrap installs the journal behind it. They never import
the journal, and the journal never imports them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from opentelemetry._logs import LogRecord

from tachograph.catalogue.events import LOG_EVENT

FALSY = frozenset(("", "0", "false", "no", "off", "none", "null"))

_DOTTED = re.compile(r"[A-Za-z_][\w-]*(?:\.[\w-]+)+", re.ASCII)
_OUTCOMES = ("success", "failure", "unknown")


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """
    What is to be recorded, before the journal numbers and chains it.

    `actor` and `resource` are `"type:id"` or a mapping with `id` and `type`; an actor of None is the agent in force,
    else the service. `outcome` is success, failure or unknown.
    """

    event: str
    action: str
    resource: str | Mapping[str, object]
    actor: str | Mapping[str, object] | None = None
    outcome: str = "success"
    meta: Mapping[str, object] = field(default_factory=dict)
    required: bool = False


class Slip:
    """An event that goes beside a log record, for whoever takes it first: it is journaled once."""

    __slots__ = ("_event",)

    def __init__(self, event: AuditEvent) -> None:
        self._event: AuditEvent | None = event

    def take(self) -> AuditEvent | None:
        """Return the event, once; nothing keeps the application's values longer."""
        event, self._event = self._event, None
        return event


class MarkedRecord(LogRecord):
    """
    A log record with what the journal is to get, from the raw values of a log call.

    Attributes pass limits and conversions on their way to the audit bridge; the slip beside them does not.
    """

    def __init__(self, slip: Slip, **given: Any) -> None:
        super().__init__(**given)
        self.slip = slip


class Receipt(Protocol):
    """What a journal answers for a record that it took."""

    @property
    def id(self) -> str:
        """The record's id, 32 hex digits."""


Sink = Callable[[AuditEvent], Receipt | None]


def _nowhere(_event: AuditEvent) -> Receipt | None:
    return None


_sink: Sink = _nowhere
_fail_closed = False


def install(sink: Sink | None, *, fail_closed: bool = False) -> None:
    """
    Make `sink` the receiver of audit events; None: nowhere.

    With `fail_closed`, acts that destroy or leave the system ask for their record before they happen.
    """
    global _sink, _fail_closed
    _sink = sink or _nowhere
    _fail_closed = fail_closed


def has_journal() -> bool:
    """Tell whether audit events go anywhere."""
    return _sink is not _nowhere


def fail_closed() -> bool:
    """Tell whether destructive and external acts must not happen without a durable record."""
    return _fail_closed


def submit(event: AuditEvent) -> Receipt | None:
    """
    Hand `event` to the journal in force; None when there is none or the record was dropped.

    Raises AuditUnavailable when `event.required` and the record could not be made durable.
    """
    return _sink(event)


def is_marked(value: object) -> bool:
    """Tell whether a log record whose `audit` has this value is for the journal; a value that cannot tell says yes."""
    if isinstance(value, str):
        return str.strip(value).lower() not in FALSY
    try:
        return bool(value)
    except Exception:  # noqa: BLE001 - the value's own code, which must not switch the audit off
        return True


def read(
    fields: Mapping[str, object],
    *,
    logger: str,
    name: str | None,
    message: object,
    ids: Mapping[str, str],
) -> AuditEvent:
    """
    Return what the `fields` of a log record of `logger` say for the journal.

    `name` is the record's event name, `message` its text; correlation ids that `ids` has, too, are no meta.
    """
    left = {key: value for key, value in fields.items() if key != "audit" and not _is_id(ids, key, value)}
    actor, action, resource, outcome = (_take(left, each) for each in ("actor", "action", "resource", "outcome"))
    event, message = _named(name, message, left)
    if not _is_blank(message):
        left["message" if "message" not in left else "body"] = message
    if not (outcome is None or (isinstance(outcome, str) and outcome in _OUTCOMES)):
        left.setdefault("outcome", outcome)
    return AuditEvent(
        event=event,
        action="LOG" if action is None else cast("str", action),
        resource=f"logger:{logger}" if resource is None else cast("str", resource),
        actor=cast("str | None", actor),
        outcome=outcome if isinstance(outcome, str) and outcome in _OUTCOMES else "unknown",
        meta=left,
    )


def _named(name: str | None, message: object, left: dict[str, object]) -> tuple[str, object]:
    """Return the event's name, and the text that is left over for the meta."""
    if name:
        return name, message
    for key in ("audit.event", "event"):
        if _is_dotted(left.get(key)):
            event = str(left.pop(key))
            return event, None if message == event else message
    return (str(message), None) if _is_dotted(message) else (LOG_EVENT, message)


def _take(fields: dict[str, object], name: str) -> object:
    for key in (f"audit.{name}", name):
        if not _is_blank(fields.get(key)):
            return fields.pop(key)
    return None


def _is_id(ids: Mapping[str, str], key: str, value: object) -> bool:
    return isinstance(value, str) and ids.get(key) == value


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value)


def _is_dotted(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 128 and _DOTTED.fullmatch(value) is not None

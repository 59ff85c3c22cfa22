"""
Where features hand over audit events, whichever journal is in force.

Operations, log handlers and dialect readers call `submit`; bootstrap installs the journal behind it. They never import
the journal, and the journal never imports them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


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


def fail_closed() -> bool:
    """Tell whether destructive and external acts must not happen without a durable record."""
    return _fail_closed


def submit(event: AuditEvent) -> Receipt | None:
    """
    Hand `event` to the journal in force; None when there is none or the record was dropped.

    Raises AuditUnavailable when `event.required` and the record could not be made durable.
    """
    return _sink(event)

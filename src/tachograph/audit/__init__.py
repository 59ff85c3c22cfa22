"""
The audit trail: who did what to which resource, in a file that shows every later change to it.

`record` writes what has happened, `action` writes the intent before and the outcome after. Both work without any
configuration: the first call opens the journal where the settings say.
"""

import asyncio
import atexit
import secrets
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from opentelemetry import trace
from opentelemetry.context import Context

from tachograph import correlation
from tachograph.audit import entry, mirror
from tachograph.audit.chain import Record
from tachograph.audit.entry import Origin
from tachograph.audit.journal import Journal, JournalOptions
from tachograph.audit.tally import Tally
from tachograph.errors import AuditUnavailable
from tachograph.intake import AuditEvent
from tachograph.notices import notice_at_most

__all__ = [
    "Action",
    "AuditUnavailable",
    "JournalOptions",
    "Record",
    "action",
    "arecord",
    "configure",
    "counts",
    "flush",
    "head",
    "origin",
    "probe",
    "record",
    "shutdown",
    "sink",
    "write",
]

Party = str | Mapping[str, object]

_tally = Tally()
_in_force: dict[str, Journal] = {}  # one entry; `setdefault` needs no lock, which a fork could leave held


def record(
    event: str,
    /,
    *,
    actor: Party | None = None,
    action: str,
    resource: Party,
    outcome: str = "success",
    required: bool = False,
    **meta: object,
) -> Record | None:
    """
    Record that `actor` did `action` to `resource`.

    With `required` the record is on the disk when this returns, and AuditUnavailable (an OSError) is raised when it
    cannot be. Without, the record is in the file, or None is returned: it was dropped, and the journal will say so.
    """
    return sink(AuditEvent(event, action, resource, actor, outcome, meta, required))


async def arecord(
    event: str,
    /,
    *,
    actor: Party | None = None,
    action: str,
    resource: Party,
    outcome: str = "success",
    required: bool = False,
    **meta: object,
) -> Record | None:
    """Do what `record` does, off the event loop; the record is written even if the waiting task is cancelled."""
    return await asyncio.to_thread(sink, AuditEvent(event, action, resource, actor, outcome, meta, required))


def action(
    event: str,
    /,
    *,
    actor: Party | None = None,
    action: str,
    resource: Party,
    required: bool = True,
    **meta: object,
) -> "Action":
    """
    Record the intent before a block and its outcome after it: `with` or `async with`.

    With `required` (the default) the block does not run unless the intent is on the disk: AuditUnavailable. The
    outcome is written fail open, and an exception of the block is a failure that propagates.
    """
    return Action(AuditEvent(event, action, resource, actor, "unknown", meta, required))


class Action:
    """An act between its two records; set `outcome` and add facts with `note` while it runs."""

    def __init__(self, intent: AuditEvent) -> None:
        self.outcome = "success"
        self.intent_id = secrets.token_hex(16)
        self._intent = intent
        self._meta: dict[str, object] = {}

    def note(self, **meta: object) -> None:
        """Add to the meta of the second record."""
        self._meta.update(meta)

    def __enter__(self) -> Self:
        _put(self._intent, origin(), entry_id=self.intent_id, phase={"phase": "start"})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _put(self._ended(kind), origin(), phase={"phase": "end", "intent": self.intent_id})

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.shield(asyncio.to_thread(self.__exit__, kind, error, traceback))

    def _ended(self, kind: type[BaseException] | None) -> AuditEvent:
        meta = {**self._intent.meta, **self._meta}
        if kind is not None:
            meta["error.type"] = kind.__qualname__
        outcome = self.outcome if kind is None else "failure"
        return AuditEvent(
            self._intent.event, self._intent.action, self._intent.resource, self._intent.actor, outcome, meta
        )


def sink(event: AuditEvent) -> Record | None:
    """Record a neutral event: what bootstrap installs in `tachograph.intake`."""
    return _put(event, origin())


def write(event: AuditEvent, where: Origin) -> Record | None:
    """Record an event that came as a log record from `where`: without a copy to the logs, where it is already."""
    return _written(event, where, secrets.token_hex(16), {})


def origin(context: Context | None = None) -> Origin:
    """Return who acts in `context` (default: the current one), its correlation ids and its span."""
    span = trace.get_current_span(context).get_span_context()
    agent = correlation.agent(context)
    return Origin(
        actor=f"agent:{agent}" if agent else f"service:{_journal().options.service_name}",
        ids=correlation.ids(context),
        trace_id=span.trace_id if span.is_valid else 0,
        span_id=span.span_id if span.is_valid else 0,
    )


def configure(options: JournalOptions) -> None:
    """
    Write to the journal that `options` describe from now on, after closing another one.

    Raises AuditUnavailable when `options.required` and the journal cannot be written.
    """
    before = _in_force.get("journal")
    if before is None or before.options != options:
        _in_force["journal"] = Journal(options, tally=_tally)
        if before is not None:
            before.close(1.0)
    if options.required:
        _open()


def probe() -> bool:
    """Tell whether the journal can be written, by writing this process's start to it; warn on stderr if not."""
    try:
        _open()
    except AuditUnavailable as error:
        notice_at_most("audit probe", str(error))
        return False
    return True


def flush(timeout: float = 5.0) -> bool:
    """Put everything recorded on the disk; False when that did not succeed within about `timeout` seconds."""
    journal = _in_force.get("journal")
    return journal is None or journal.flush(timeout)


def shutdown(timeout: float = 5.0) -> bool:
    """Flush, write `audit.writer.stop` and close; a record after this opens the journal again."""
    journal = _in_force.get("journal")
    return journal is None or journal.close(timeout)


def counts() -> Mapping[tuple[str, str], int]:
    """Return how many records were written, refused and dropped by this process, by (event, result)."""
    return _tally.counts()


def head() -> int:
    """Return the number of the last line that this process knows of; 0 for none."""
    journal = _in_force.get("journal")
    return journal.head.seq if journal is not None and journal.head is not None else 0


def _put(
    event: AuditEvent, where: Origin, *, entry_id: str | None = None, phase: Mapping[str, str] | None = None
) -> Record | None:
    written = _written(event, where, entry_id or secrets.token_hex(16), phase or {})
    if written is not None:
        mirror.emit(written)
    return written


def _written(event: AuditEvent, where: Origin, entry_id: str, phase: Mapping[str, str]) -> Record | None:
    made = entry.make(event, where, entry_id=entry_id, phase=phase)
    return _journal().append(made, required=event.required)


def _open() -> None:
    journal = _journal()
    try:
        journal.open()
    except OSError as error:
        path = journal.options.path
        raise AuditUnavailable(error.errno, f"the audit journal {path} cannot be written: {error}") from error


def _journal() -> Journal:
    journal = _in_force.get("journal")
    if journal is not None:
        return journal

    made = Journal(_options_of_settings(), tally=_tally)
    return _in_force.setdefault("journal", made)


def _options_of_settings() -> JournalOptions:
    from tachograph.settings import Settings

    settings: Any = Settings.from_environment()
    return JournalOptions(
        path=settings.audit_path,
        mode=settings.audit_mode,
        sync=settings.audit_sync,
        service_name=settings.service_name,
        required=settings.audit_required,
    )


atexit.register(shutdown, 1.0)  # here, since the first to register ends last: others may record in theirs

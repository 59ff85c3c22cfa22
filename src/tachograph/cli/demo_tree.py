"""The tree of a trace: spans, and inside each of them its log lines and audit records, in the order of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, Union

from tachograph.cli.demo_records import AuditRecord, LogLine, Span

Item: TypeAlias = Union["Node", LogLine, AuditRecord]

COPIES = "tachograph.audit"  # the logger of the copies of audit records
_ASGI = (" http send", " http receive")
_CHATTER = frozenset(("httpx", COPIES))


@dataclass(frozen=True)
class Node:
    """A span and what happened in it."""

    span: Span
    items: tuple[Item, ...]

    @property
    def time(self) -> int:
        """When it started."""
        return self.span.time


@dataclass(frozen=True)
class Trace:
    """Everything that carries one trace id, without what only repeats or accompanies it."""

    trace_id: str
    spans: tuple[Span, ...]
    logs: tuple[LogLine, ...]
    audit: tuple[AuditRecord, ...]

    def roots(self) -> tuple[Node, ...]:
        """Return the trees of the spans whose parent is not here."""
        known = {span.span_id for span in self.spans}
        return tuple(self._node(span) for span in sorted(self.spans, key=_start) if span.parent_id not in known)

    def _node(self, span: Span) -> Node:
        children = [self._node(each) for each in self.spans if each.parent_id == span.span_id]
        logs = [each for each in self.logs if each.span_id == span.span_id]
        audit = [each for each in self.audit if each.span_id == span.span_id]
        return Node(span, tuple(sorted([*children, *logs, *audit], key=lambda item: item.time)))


def trace(trace_id: str, spans: Sequence[Span], logs: Sequence[LogLine], audit: Sequence[AuditRecord]) -> Trace:
    """Pick what belongs to a trace and is worth showing."""
    return Trace(
        trace_id,
        tuple(each for each in spans if each.trace_id == trace_id and not each.name.endswith(_ASGI)),
        tuple(each for each in logs if each.trace_id == trace_id and each.logger not in _CHATTER),
        tuple(each for each in audit if each.trace_id == trace_id),
    )


def joined_by_plan(trace_id: str, audit: Sequence[AuditRecord]) -> tuple[str, ...]:
    """Return the ids of other traces whose audit records carry a plan id of this one, in order."""
    plans = {each.correlation.get("plan_id") for each in audit if each.trace_id == trace_id} - {None}
    others = (each.trace_id for each in audit if each.correlation.get("plan_id") in plans)
    return tuple(dict.fromkeys(other for other in others if other not in ("", trace_id)))


def _start(span: Span) -> int:
    return span.time

"""Spans, log records and metric points as tests compare them, whichever way they travelled."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Span:
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    status: int
    scope: str
    attributes: Mapping[str, Any] = field(repr=False)
    resource: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Log:
    body: Any
    event_name: str
    severity: int
    trace_id: str
    span_id: str
    scope: str
    attributes: Mapping[str, Any] = field(repr=False)
    resource: Mapping[str, Any] = field(repr=False)

    @property
    def is_copy(self) -> bool:
        """Whether it is the copy of a line of the audit journal."""
        return self.scope == "tachograph.audit"


@dataclass(frozen=True)
class Point:
    """One data point of a metric: `value` is a number, or a histogram's count."""

    metric: str
    kind: str
    unit: str
    value: float
    scope: str
    attributes: Mapping[str, Any]
    sum: float | None = None
    exemplars: tuple[str, ...] = field(default=(), repr=False)
    resource: Mapping[str, Any] = field(default_factory=dict, repr=False)


def spans(data: Any) -> Iterator[Span]:
    """Every span of a traces message, protobuf's or the OTLP JSON package's."""
    for group in data.resource_spans:
        resource = attributes(group.resource.attributes) if group.resource else {}
        for scoped in group.scope_spans:
            for span in scoped.spans:
                yield Span(
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    kind=int(span.kind or 0),
                    status=int(span.status.code or 0) if span.status else 0,
                    scope=scoped.scope.name if scoped.scope else "",
                    attributes=attributes(span.attributes),
                    resource=resource,
                )


def logs(data: Any) -> Iterator[Log]:
    """Every log record of a logs message."""
    for group in data.resource_logs:
        resource = attributes(group.resource.attributes) if group.resource else {}
        for scoped in group.scope_logs:
            for record in scoped.log_records:
                yield Log(
                    body=value(record.body) if record.body is not None else None,
                    event_name=record.event_name,
                    severity=int(record.severity_number or 0),
                    trace_id=record.trace_id.hex(),
                    span_id=record.span_id.hex(),
                    scope=scoped.scope.name if scoped.scope else "",
                    attributes=attributes(record.attributes),
                    resource=resource,
                )


def points(data: Any) -> Iterator[Point]:
    """Every data point of a metrics message (protobuf)."""
    for group in data.resource_metrics:
        resource = attributes(group.resource.attributes)
        for scoped in group.scope_metrics:
            for metric in scoped.metrics:
                yield from _points(metric, scoped.scope.name, resource)


def _points(metric: Any, scope: str, resource: Mapping[str, Any]) -> Iterator[Point]:
    kind = metric.WhichOneof("data")
    for point in getattr(metric, kind).data_points:
        is_number = kind in ("sum", "gauge")
        yield Point(
            metric=metric.name,
            kind=kind,
            unit=metric.unit,
            value=getattr(point, point.WhichOneof("value")) if is_number else point.count,
            sum=None if is_number else point.sum,
            scope=scope,
            attributes=attributes(point.attributes),
            exemplars=tuple(each.trace_id.hex() for each in point.exemplars),
            resource=resource,
        )


def attributes(pairs: Any) -> dict[str, Any]:
    """Attributes as a plain dict; a key that comes twice is a fault."""
    made: dict[str, Any] = {}
    for pair in pairs:
        assert pair.key not in made, f"attribute {pair.key!r} comes twice"
        made[pair.key] = value(pair.value)
    return made


def value(any_value: Any) -> Any:
    """An AnyValue as a plain Python value."""
    if hasattr(any_value, "WhichOneof"):
        kind = any_value.WhichOneof("value")
    else:
        kinds = (
            "string_value",
            "bool_value",
            "int_value",
            "double_value",
            "array_value",
            "kvlist_value",
            "bytes_value",
        )
        kind = next((each for each in kinds if getattr(any_value, each) is not None), None)
    if kind is None:
        return None
    held = getattr(any_value, kind)
    if kind == "array_value":
        return [value(each) for each in held.values]
    return attributes(held.values) if kind == "kvlist_value" else held

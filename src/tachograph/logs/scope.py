"""Which trace, span and correlation ids are in force where a log call is made."""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from opentelemetry import context as otel_context
from opentelemetry import trace

from tachograph import correlation


class Scope(NamedTuple):
    """The ids in force; the hex ids are empty when no valid span is current."""

    trace_id: str
    span_id: str
    trace_flags: str
    correlation: Mapping[str, str]

    def ids(self) -> dict[str, str]:
        """Return what a line carries: the ids that there are, under their bare names."""
        if not self.trace_id:
            return dict(self.correlation)
        return {"trace_id": self.trace_id, "span_id": self.span_id, **self.correlation}


def current() -> Scope:
    """Return the ids in force here."""
    context = otel_context.get_current()
    span = trace.get_current_span(context).get_span_context()
    if not span.is_valid:
        return Scope("", "", "", correlation.ids(context))
    return Scope(*_hex(span.trace_id, span.span_id, span.trace_flags), correlation.ids(context))


@lru_cache(maxsize=256)
def _hex(trace_id: int, span_id: int, flags: int) -> tuple[str, str, str]:
    return f"{trace_id:032x}", f"{span_id:016x}", f"{flags:02x}"

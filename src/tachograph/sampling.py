"""
The sampler: whatever the configured one drops is still recorded where its attributes are needed in this process.

Nothing more is exported for it: the sampled flag stays as the configured sampler decided.
"""

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

# Spans whose receiver decides whether ids may be sent along.
_SENDING = (SpanKind.CLIENT, SpanKind.PRODUCER)


class RecordingSampler(Sampler):
    """Asks `root`, and records without sampling what it drops of the spans that send something."""

    def __init__(self, root: Sampler) -> None:
        self.root = root

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return the decision of `root`, RECORD_ONLY in place of DROP for client and producer spans."""
        result = self.root.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        if result.decision is not Decision.DROP or kind not in _SENDING:
            return result
        # A sampler that drops gives no attributes, and those of the span are what it is recorded for.
        return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)

    def get_description(self) -> str:
        """Name the sampler and the one that it asks."""
        return f"RecordingSampler{{{self.root.get_description()}}}"

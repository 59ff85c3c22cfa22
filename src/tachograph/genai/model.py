"""The neutral record of an agent invocation, a tool call or a language model call, whoever observed it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

CallKind = Literal["agent", "tool", "llm"]
CostSource = Literal["emitter", "user", "price_table"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """
    Tokens of a language model call; None is unknown and never 0.

    Input includes cached tokens, output includes reasoning. `estimated` says that nobody but the caller counted them.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    estimated: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """
    One finished call. `seconds` is its duration, `agent` the nearest agent around it.

    `cost` is what it cost in USD by the word of `cost_source`; None is unknown and never 0.
    `evidence` is `operation` when the code that acted said so, `span` when it was only seen in a span.
    """

    kind: CallKind
    name: str
    outcome: str
    seconds: float
    agent: str | None = None
    evidence: Literal["operation", "span"] = "operation"
    error_type: str | None = None
    call_id: str | None = None
    arguments_sha256: str | None = None
    effect: str | None = None
    provider: str | None = None
    model: str | None = None
    operation: str | None = None
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    cost_source: CostSource | None = None
    time_to_first_chunk: float | None = None
    turns: int = 0
    finish_reason: str | None = None
    notes: Mapping[str, object] = field(default_factory=dict)

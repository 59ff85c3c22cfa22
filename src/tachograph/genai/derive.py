"""What follows from a call: measurements and an audit event. Pure functions, the same for every observer."""

from collections.abc import Iterator

from tachograph.catalogue import agents, labels, models, tools
from tachograph.genai.model import Call
from tachograph.intake import AuditEvent
from tachograph.metrics import Measurement

_AUDIT_OUTCOMES = {"success": "success", "skipped": "unknown", "pending_approval": "unknown"}


def measurements(call: Call) -> tuple[Measurement, ...]:
    """Return what `call` adds to the catalogue's instruments."""
    derive = {"agent": _agent, "tool": _tool, "llm": _llm}[call.kind]
    return tuple(derive(call))


def audit_event(call: Call) -> AuditEvent | None:
    """Return the audit event of `call`, or None when its kind has none."""
    return tool_event(call) if call.kind == "tool" else None


def tool_event(call: Call) -> AuditEvent:
    """Return the audit event of a tool call."""
    return AuditEvent(
        event="agent.tool.call",
        action="EXECUTE",
        resource=f"tool:{call.name}",
        outcome=audit_outcome(call.outcome),
        meta=tool_meta(call),
    )


def audit_outcome(outcome: str) -> str:
    """Return success, failure or unknown for an operation's finer word."""
    return _AUDIT_OUTCOMES.get(outcome, "failure")


def tool_meta(call: Call) -> dict[str, object]:
    """Return the audit `meta` of a tool call: names, ids and digests, never contents."""
    known = {
        "gen_ai.tool.name": call.name,
        "gen_ai.tool.call.id": call.call_id,
        "tachograph.outcome": call.outcome if call.outcome not in ("success", "failure") else None,
        "tachograph.tool.effect": call.effect,
        "arguments.sha256": call.arguments_sha256,
        "error.type": call.error_type,
        "evidence": "span" if call.evidence == "span" else None,
    }
    return {**call.notes, **{key: value for key, value in known.items() if value is not None}}


def is_turn(call: Call) -> bool:
    """Tell whether a model call is a turn of the agent around it: one that succeeded, and no embedding."""
    return call.operation != "embeddings" and call.outcome == "success"


def is_known(call: Call) -> bool:
    """Tell whether it is known how many tokens a model call used; embeddings have no output."""
    usage = call.usage
    return usage.input_tokens is not None and (usage.output_tokens is not None or call.operation == "embeddings")


def _agent(call: Call) -> Iterator[Measurement]:
    agent = {labels.AGENT.name: call.name}
    ended = {**agent, labels.OUTCOME.name: call.outcome}
    yield Measurement(agents.AGENT_INVOCATIONS, 1, ended)
    yield Measurement(agents.AGENT_DURATION, call.seconds, ended)
    yield Measurement(agents.AGENT_TURNS_PER_INVOCATION, call.turns, agent)
    yield Measurement(agents.AGENT_FINISH, 1, {**agent, labels.FINISH_REASON.name: call.finish_reason})


def _tool(call: Call) -> Iterator[Measurement]:
    ended = {labels.TOOL.name: call.name, labels.OUTCOME.name: call.outcome}
    yield Measurement(tools.TOOL_CALLS, 1, ended)
    yield Measurement(tools.TOOL_DURATION, call.seconds, ended)


def _llm(call: Call) -> Iterator[Measurement]:
    model = {labels.PROVIDER.name: call.provider, labels.MODEL.name: call.model}
    ended = {**model, labels.OPERATION.name: call.operation, labels.OUTCOME.name: call.outcome}
    yield Measurement(models.LLM_CALLS, 1, ended)
    yield Measurement(models.LLM_DURATION, call.seconds, ended)
    if call.time_to_first_chunk is not None:
        yield Measurement(models.LLM_TIME_TO_FIRST_CHUNK, call.time_to_first_chunk, model)
    if call.agent is not None and is_turn(call):
        yield Measurement(agents.AGENT_TURNS, 1, {labels.AGENT.name: call.agent})
    yield from _tokens(call, model)
    yield from _cost(call, model)


def _tokens(call: Call, model: dict[str, str | None]) -> Iterator[Measurement]:
    usage = call.usage
    if call.outcome == "success" and (usage.estimated or not is_known(call)):
        yield Measurement(models.LLM_CALLS_WITHOUT_USAGE, 1, model)

    by_agent = {**model, labels.AGENT.name: call.agent}
    for kind, tokens in (("input", usage.input_tokens), ("output", usage.output_tokens)):
        if tokens:
            yield Measurement(models.LLM_TOKENS, tokens, {**by_agent, labels.TOKEN_TYPE.name: kind})

    details = (
        ("cache_read", usage.cache_read_tokens),
        ("cache_write", usage.cache_write_tokens),
        ("reasoning", usage.reasoning_tokens),
    )
    for kind, tokens in details:
        if tokens:
            yield Measurement(models.LLM_TOKENS_DETAIL, tokens, {**model, labels.TOKEN_DETAIL.name: kind})


def _cost(call: Call, model: dict[str, str | None]) -> Iterator[Measurement]:
    if call.cost is not None:
        told = {**model, labels.AGENT.name: call.agent, labels.COST_SOURCE.name: call.cost_source}
        yield Measurement(models.LLM_COST, call.cost, told)
    elif _may_have_cost(call):
        yield Measurement(models.LLM_UNPRICED_CALLS, 1, model)


def _may_have_cost(call: Call) -> bool:
    """A call that failed and tells no tokens costs nothing that anybody knows of; one of 0 tokens costs nothing."""
    if not is_known(call):
        return call.outcome == "success" or bool(call.usage.input_tokens or call.usage.output_tokens)
    return bool(call.usage.input_tokens or call.usage.output_tokens)

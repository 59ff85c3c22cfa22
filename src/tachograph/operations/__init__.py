"""
What no library can know: plans, agents, tool calls, model calls, context assembly and stages.

Each function returns an operation that is a context manager (`with`, `async with`) and a decorator (of functions,
coroutine functions and generators). It opens a span, binds its ids, measures, and writes the audit record that belongs
to it. An exception of the block sets the outcome and propagates unchanged.
"""

from tachograph import correlation
from tachograph.operations.kinds import AgentRun, ContextRun, LlmRun, PlanRun, StageRun, ToolRun
from tachograph.operations.operation import Operation
from tachograph.operations.run import Run, Value

__all__ = ["Operation", "Run", "agent", "context_assembly", "llm_call", "plan", "stage", "tool_call"]


def plan(name: str, *, plan_id: str | None = None, **attributes: Value) -> Operation[PlanRun]:
    """
    Execute a plan: its id is bound for everything in it, its start and end are audited.

    An id is made when none is given. `attributes` go onto the span.
    """
    return Operation(lambda: PlanRun(name, plan_id or correlation.new_id(), attributes))


def agent(
    name: str,
    *,
    agent_id: str | None = None,
    run_id: str | None = None,
    conversation_id: str | None = None,
    **attributes: Value,
) -> Operation[AgentRun]:
    """
    Invoke an agent: model calls in it are its turns, and it is the actor of audit records made in it.

    `run_id` defaults to the one in force, else a new one.
    """
    given = {"agent_id": agent_id, "run_id": run_id, "gen_ai.conversation.id": conversation_id}
    return Operation(lambda: AgentRun(name, given, attributes))


def tool_call(
    name: str,
    *,
    arguments: object = None,
    effect: str | None = None,
    call_id: str | None = None,
    **attributes: Value,
) -> Operation[ToolRun]:
    """
    Call a tool: counted by outcome and audited once, at its end.

    `effect` is read, write, destructive or external. The last two are audited in two phases: the intent before the
    act, the outcome after it; with TACHOGRAPH_AUDIT_REQUIRED an intent that cannot be made durable raises
    AuditUnavailable and the block does not run. Of `arguments` only a SHA-256 digest is kept.
    """
    return Operation(lambda: ToolRun(name, arguments, effect, call_id or correlation.new_id(), attributes))


def llm_call(provider: str, model: str, *, operation: str = "chat", **attributes: Value) -> Operation[LlmRun]:
    """
    Call a language model.

    `operation` is chat, text_completion, generate_content or embeddings. Say `call.usage(input_tokens=…,
    output_tokens=…)` when the answer is there; what is not said is unknown, never 0.
    """
    return Operation(lambda: LlmRun(provider, model, operation, attributes))


def context_assembly(*, budget_tokens: int | None = None, **attributes: Value) -> Operation[ContextRun]:
    """Assemble a model's context: say `run.fragments = n` and `run.tokens = n` before the end."""
    return Operation(lambda: ContextRun(budget_tokens, attributes))


def stage(name: str, **attributes: Value) -> Operation[StageRun]:
    """Run a stage of a pipeline: its duration is measured by name and outcome."""
    return Operation(lambda: StageRun(name, attributes))

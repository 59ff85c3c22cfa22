"""
What no library can know: plans, agents, tool calls, model calls, context assembly, pipelines, tasks, scans, and facts.

A fact is one call. Every other function returns an operation that is a context manager (`with`, `async with`) and a
decorator (of functions, coroutine functions and generators). It opens a span, binds its ids, measures, and writes the
audit record that belongs to it. An exception of the block sets the outcome and propagates unchanged.
"""

from tachograph import correlation
from tachograph.operations.approvals import approval
from tachograph.operations.facts import (
    agent_population,
    change,
    coordination,
    danger,
    finding,
    guardrail,
    guardrail_retry,
    handoff,
    loop_blocked,
    policy_violation,
    retry,
    scan_failure,
    security_evaluation,
    task_population,
    throttled,
)
from tachograph.operations.kinds import AgentRun, LlmRun, PlanRun, ToolRun
from tachograph.operations.operation import Operation
from tachograph.operations.run import Run, Value
from tachograph.operations.spending import Budget, budget
from tachograph.operations.values import count, record, set_value
from tachograph.operations.work import ContextRun, PipelineRun, ScanRun, StageRun, TaskRun

__all__ = [
    "Budget",
    "Operation",
    "Run",
    "agent",
    "agent_population",
    "approval",
    "budget",
    "change",
    "context_assembly",
    "coordination",
    "count",
    "danger",
    "finding",
    "guardrail",
    "guardrail_retry",
    "handoff",
    "llm_call",
    "loop_blocked",
    "pipeline",
    "plan",
    "policy_violation",
    "record",
    "retry",
    "scan",
    "scan_failure",
    "security_evaluation",
    "set_value",
    "stage",
    "task",
    "task_population",
    "throttled",
    "tool_call",
]


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
    output_tokens=…)` when the answer is there; what is not said is unknown, never 0. Raises BudgetExceeded, before the
    block runs, in a spent budget that refuses.
    """
    return Operation(lambda: LlmRun(provider, model, operation, attributes))


def context_assembly(*, budget_tokens: int | None = None, **attributes: Value) -> Operation[ContextRun]:
    """Assemble a model's context: say `run.fragments = n` and `run.tokens = n` before the end."""
    return Operation(lambda: ContextRun(budget_tokens, attributes))


def stage(name: str, **attributes: Value) -> Operation[StageRun]:
    """Run a stage of a pipeline: its duration is measured by name and outcome."""
    return Operation(lambda: StageRun(name, attributes))


def pipeline(name: str, **attributes: Value) -> Operation[PipelineRun]:
    """Run a pipeline: counted by outcome."""
    return Operation(lambda: PipelineRun(name, attributes))


def task(name: str, *, task_id: str | None = None, **attributes: Value) -> Operation[TaskRun]:
    """Work on a task: its id, a new one when none is given, is bound for everything in it."""
    return Operation(lambda: TaskRun(name, task_id or correlation.new_id(), attributes))


def scan(scanner: str, **attributes: Value) -> Operation[ScanRun]:
    """
    Run a security scan: its duration, its last success, or why it came to no result.

    A failure is an error, a timeout by `TimeoutError`, or what `run.fail(reason)` says.
    """
    return Operation(lambda: ScanRun(scanner, attributes))

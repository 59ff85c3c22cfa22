"""Runs of agent systems: plan, agent, tool call, model call."""

import hashlib
import json
import threading
import time
from collections.abc import Mapping

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from tachograph import correlation, intake
from tachograph.catalogue import agents, labels, plans
from tachograph.contain import contain
from tachograph.errors import BudgetExceeded
from tachograph.genai import budgets, derive, pricing
from tachograph.genai.model import Call, Usage
from tachograph.metrics import RECORDER, Measurement
from tachograph.notices import notice_once
from tachograph.operations import heartbeat
from tachograph.operations.run import Run, Value, admit_word, submit

EFFECTS = ("read", "write", "destructive", "external")

_TWO_PHASE = ("destructive", "external")
_AGENT_RUN_KEY = "tachograph.agent.run"


class PlanRun(Run):
    """A plan being executed."""

    kind = "plan"

    def __init__(self, name: str, plan_id: str, attributes: Mapping[str, Value]) -> None:
        super().__init__(attributes)
        self.name = name
        self.plan_id = plan_id
        self.span_name = f"plan {name}"

    def _context(self) -> Context:
        return correlation.with_ids(plan_id=self.plan_id)

    def _span_attributes(self) -> dict[str, Value]:
        return {"tachograph.plan.name": self.name}

    def _before(self) -> None:
        with contain("operations.measure"):
            RECORDER.record((Measurement(plans.PLAN_ACTIVE, 1),), self.context)
            heartbeat.opened(self)
        with contain("operations.audit"):
            self._transition("START", "created", "running", "success")

    def _measurements(self, seconds: float) -> tuple[Measurement, ...]:
        heartbeat.closed(self)
        ended = {labels.OUTCOME.name: self.outcome}
        return (
            Measurement(plans.PLAN_ACTIVE, -1),
            Measurement(plans.PLAN_EXECUTIONS, 1, ended),
            Measurement(plans.PLAN_DURATION, seconds, ended),
        )

    def _audit(self) -> None:
        outcome = derive.audit_outcome(self.outcome)
        if outcome == "failure":
            self._transition("ABORT", "running", "aborted", outcome)
        else:
            self._transition("FINISH", "running", "finished", outcome)

    def _transition(self, action: str, before: str, after: str, outcome: str) -> None:
        finer = {"tachograph.outcome": self.outcome} if self.outcome not in ("success", "failure") else {}
        error = {"error.type": self._error_type} if self._error_type else {}
        meta = {**self._notes, "plan_id": self.plan_id, "from": before, "to": after, **finer, **error}
        event = intake.AuditEvent(
            event="agent.plan.transition", action=action, resource=f"plan:{self.name}", outcome=outcome, meta=meta
        )
        submit(event, self.context)


class AgentRun(Run):
    """An agent at work; `turns` counts the model calls that succeeded in it."""

    kind = "agent"

    def __init__(self, name: str, ids: Mapping[str, str | None], attributes: Mapping[str, Value]) -> None:
        super().__init__(attributes)
        self.name = name
        self.turns = 0
        self.span_name = f"invoke_agent {name}"
        self._ids = dict(ids)
        self._finish: str | None = None
        self._said_finish: str | None = None
        self._spent = False
        self._lock = threading.Lock()

    def finish(self, reason: str) -> None:
        """
        Say why it ends, in a word of the catalogue's list.

        The words are completed, max_iterations, max_tokens, time_budget, cost_budget, cancelled, error, guardrail,
        handoff and tool_failure.
        """
        self._said_finish = reason
        self._finish = admit_word(labels.FINISH_REASON, reason)

    def count_turn(self) -> None:
        """Count a model call that succeeded in this agent."""
        with self._lock:
            self.turns += 1

    def _context(self) -> Context:
        run_id = self._ids.get("run_id") or correlation.ids().get("run_id") or correlation.new_id()
        context = correlation.with_agent(self.name, correlation.with_ids(**{**self._ids, "run_id": run_id}))
        return otel_context.set_value(_AGENT_RUN_KEY, self, context)

    def _span_attributes(self) -> dict[str, Value]:
        return {"gen_ai.operation.name": "invoke_agent", labels.AGENT.name: self.name}

    def _final_attributes(self) -> dict[str, Value]:
        return {"tachograph.turns": self.turns, "tachograph.agent.finish_reason": self._reason()}

    def _before(self) -> None:
        with contain("operations.measure"):
            RECORDER.record((self._active(1),), self.context)
            heartbeat.opened(self)

    def _measurements(self, seconds: float) -> tuple[Measurement, ...]:
        heartbeat.closed(self)
        call = Call(
            kind="agent",
            name=self.name,
            outcome=self.outcome,
            seconds=seconds,
            turns=self.turns,
            finish_reason=self._said_finish or self._reason(),
        )
        return (self._active(-1), *derive.measurements(call))

    def _active(self, change: int) -> Measurement:
        return Measurement(agents.AGENT_ACTIVE, change, {labels.AGENT.name: self.name})

    def _conclude(self, error: BaseException | None) -> None:
        super()._conclude(error)
        self._spent = isinstance(error, BudgetExceeded)

    def _reason(self) -> str:
        if self._spent:
            return self._finish or "cost_budget"
        by_outcome = {"success": "completed", "cancelled": "cancelled", "timeout": "time_budget"}
        return self._finish or by_outcome.get(self.outcome, "error")


class ToolRun(Run):
    """A tool call."""

    def __init__(
        self,
        name: str,
        arguments: object,
        effect: str | None,
        call_id: str,
        attributes: Mapping[str, Value],
    ) -> None:
        super().__init__(attributes)
        self.name = name
        self.call_id = call_id
        self.effect = _known_effect(effect)
        self.span_name = f"execute_tool {name}"
        self._arguments = arguments
        self._intent: str | None = None

    def _span_attributes(self) -> dict[str, Value]:
        effect = {} if self.effect is None else {"tachograph.tool.effect": self.effect}
        named = {labels.TOOL.name: self.name, "gen_ai.tool.call.id": self.call_id}
        return {"gen_ai.operation.name": "execute_tool", **named, **effect}

    def _before(self) -> None:
        if self.effect not in _TWO_PHASE:
            return
        event = derive.tool_event(self._call("unknown", 0.0))
        meta = {key: value for key, value in event.meta.items() if key != labels.OUTCOME.name}
        started = intake.AuditEvent(
            event=event.event,
            action=event.action,
            resource=event.resource,
            outcome="unknown",
            meta={**meta, "phase": "start"},
            required=intake.fail_closed(),
        )
        self._intent = self._intend(started)

    def _intend(self, event: intake.AuditEvent) -> str | None:
        """Record the intent and return its id; only where the act may not happen without it a fault comes out."""
        if event.required:
            receipt = submit(event, self.context)
            return None if receipt is None else receipt.id
        with contain("operations.audit"):
            receipt = submit(event, self.context)
            return None if receipt is None else receipt.id
        return None

    def _audit(self) -> None:
        event = derive.tool_event(self._call(self.outcome, 0.0))
        phase = {"phase": "end", "intent": self._intent} if self.effect in _TWO_PHASE else {}
        meta = {**event.meta, **{key: value for key, value in phase.items() if value is not None}}
        ended = intake.AuditEvent(
            event=event.event, action=event.action, resource=event.resource, outcome=event.outcome, meta=meta
        )
        submit(ended, self.context)

    def _measurements(self, seconds: float) -> tuple[Measurement, ...]:
        return derive.measurements(self._call(self.outcome, seconds))

    def _call(self, outcome: str, seconds: float) -> Call:
        return Call(
            kind="tool",
            name=self.name,
            outcome=outcome,
            seconds=seconds,
            call_id=self.call_id,
            effect=self.effect,
            arguments_sha256=_digest(self._arguments),
            error_type=self._error_type,
            notes=self._notes,
        )


class LlmRun(Run):
    """A language model call; tokens that nobody says are unknown."""

    span_kind = SpanKind.CLIENT

    def __init__(self, provider: str, model: str, operation: str, attributes: Mapping[str, Value]) -> None:
        super().__init__(attributes)
        self.provider = provider
        self.model = model
        self.operation = operation
        self.span_name = f"{operation} {model}"
        self._usage = Usage()
        self._cost: float | None = None
        self._call: Call | None = None
        self._first_chunk: float | None = None

    def usage(
        self,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cache_read_tokens: int | None = None,
        cache_write_tokens: int | None = None,
        reasoning_tokens: int | None = None,
        estimated: bool = False,
    ) -> None:
        """
        Say how many tokens it used; input includes cached ones, output includes reasoning.

        `estimated` says that the provider did not count them: such a call is one without usage, its tokens are kept.
        """
        self._usage = Usage(
            input_tokens=_tokens(input_tokens),
            output_tokens=_tokens(output_tokens),
            cache_read_tokens=_tokens(cache_read_tokens),
            cache_write_tokens=_tokens(cache_write_tokens),
            reasoning_tokens=_tokens(reasoning_tokens),
            estimated=estimated,
        )

    def cost(self, usd: float) -> None:
        """Say what it cost in USD, where that is known better than from a list of prices; 0 is unknown."""
        self._cost = usd

    def first_chunk(self) -> None:
        """Say that the first chunk of a streamed answer is here; later calls change nothing."""
        if self._first_chunk is None:
            self._first_chunk = time.perf_counter() - self._started

    def _span_attributes(self) -> dict[str, Value]:
        named = {labels.PROVIDER.name: self.provider, labels.MODEL.name: self.model}
        return {"gen_ai.operation.name": self.operation, **named}

    def _final_attributes(self) -> dict[str, Value]:
        usage = self._usage
        known = {
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens,
            "gen_ai.usage.cache_write.input_tokens": usage.cache_write_tokens,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
            "gen_ai.response.time_to_first_chunk": self._first_chunk,
            "tachograph.llm.cost": None if self._call is None else self._call.cost,
        }
        return {key: value for key, value in known.items() if value is not None}

    def _measurements(self, seconds: float) -> tuple[Measurement, ...]:
        call = self._call = pricing.priced(self._finished(seconds))
        around = self.context.get(_AGENT_RUN_KEY)
        if isinstance(around, AgentRun) and derive.is_turn(call):
            around.count_turn()
        return derive.measurements(call)

    def _before(self) -> None:
        budgets.check(self.context)

    def _close(self, error: BaseException | None) -> None:
        if self._call is not None:
            with contain("budget"):
                budgets.charge(self._call, self.context)
        super()._close(error)

    def _finished(self, seconds: float) -> Call:
        return Call(
            kind="llm",
            name=self.model,
            outcome=self.outcome,
            seconds=seconds,
            agent=correlation.agent(self.context),
            error_type=self._error_type,
            provider=self.provider,
            model=self.model,
            operation=self.operation,
            usage=self._usage,
            cost=self._cost,
            time_to_first_chunk=self._first_chunk,
        )


def _known_effect(effect: str | None) -> str | None:
    if effect is None or effect in EFFECTS:
        return effect
    notice_once("effect", f"effect={str(effect)[:80]!r} is treated as destructive; write one of {', '.join(EFFECTS)}")
    return "destructive"


def _tokens(number: int | None) -> int | None:
    """Return a number of tokens; what is none is unknown."""
    if number is None:
        return None
    with contain("operations.usage"):
        if int(number) < 0:
            raise ValueError(f"{number} tokens cannot have been used")
        return int(number)
    return None


def _digest(arguments: object) -> str | None:
    if arguments is None:
        return None
    try:
        canonical = json.dumps(arguments, sort_keys=True, separators=(",", ":"), default=repr)
    except Exception:  # noqa: BLE001 - arguments may be anything, and their __repr__ may do anything
        return None
    return hashlib.sha256(canonical.encode()).hexdigest()

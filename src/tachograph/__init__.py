"""
OpenTelemetry distribution for Python agent systems: metrics, traces, structured logs and a tamper-evident audit trail.

`opentelemetry-instrument python app.py` needs nothing of this module; it is for what no library can know. Importing it
opens no file, starts no thread and reads no setting.
"""

from tachograph import audit, correlation
from tachograph.bootstrap import Telemetry, configure
from tachograph.correlation import bind
from tachograph.errors import (
    AuditUnavailable,
    BudgetExceeded,
    ConfigurationError,
    DeclarationError,
    MissingExtra,
    TachographError,
)
from tachograph.operations import (
    agent,
    agent_population,
    approval,
    budget,
    change,
    context_assembly,
    coordination,
    count,
    danger,
    finding,
    guardrail,
    guardrail_retry,
    handoff,
    llm_call,
    loop_blocked,
    pipeline,
    plan,
    policy_violation,
    record,
    retry,
    scan,
    scan_failure,
    security_evaluation,
    stage,
    task,
    task_population,
    throttled,
    tool_call,
)
from tachograph.operations import set_value as set  # noqa: A004 - the verb of a gauge, read as tachograph.set
from tachograph.version import __version__

__all__ = [
    "AuditUnavailable",
    "BudgetExceeded",
    "ConfigurationError",
    "DeclarationError",
    "MissingExtra",
    "TachographError",
    "Telemetry",
    "__version__",
    "agent",
    "agent_population",
    "approval",
    "audit",
    "bind",
    "budget",
    "catalogue",
    "change",
    "configure",
    "context_assembly",
    "coordination",
    "correlation",
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
    "set",
    "stage",
    "task",
    "task_population",
    "throttled",
    "tool_call",
]

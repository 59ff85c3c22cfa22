"""The closed list of audit events: name, verbs, and the `meta` that each must have."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """
    An audit event, declared once.

    `verbs` are the actions it may name; `meta` are the keys that each record of it has, null where unknown.
    """

    name: str
    description: str
    verbs: tuple[str, ...]
    meta: tuple[str, ...] = ()


TOOL_CALL = Event(
    name="agent.tool.call",
    description="A tool was called. With `evidence` of `span` it was only seen in a span, which proves no execution.",
    verbs=("EXECUTE",),
    meta=("gen_ai.tool.name", "gen_ai.tool.call.id"),
)
GUARD_VIOLATION = Event(
    name="agent.guard.violation",
    description="A guardrail flagged, blocked or redacted something.",
    verbs=("BLOCK", "FLAG", "REDACT"),
    meta=("guard", "rule", "verdict"),
)
APPROVAL_REQUESTED = Event(
    name="agent.approval.requested",
    description="Somebody is asked to approve an act.",
    verbs=("REQUEST",),
    meta=("approval_id", "subject"),
)
APPROVAL_DECIDED = Event(
    name="agent.approval.decided",
    description="A request for approval came to its end.",
    verbs=("APPROVE", "REJECT", "EXPIRE", "MODIFY"),
    meta=("approval_id", "approver", "scope"),
)
POLICY_VIOLATION = Event(
    name="agent.policy.violation",
    description="An act was against a policy.",
    verbs=("DENY", "WARN"),
    meta=("policy_id", "version"),
)
PLAN_TRANSITION = Event(
    name="agent.plan.transition",
    description="A plan went from one state to another.",
    verbs=("CREATE", "APPROVE", "START", "FINISH", "ABORT", "ROLLBACK"),
    meta=("plan_id", "from", "to"),
)
DELEGATION = Event(
    name="agent.delegation",
    description="An agent handed work to another.",
    verbs=("DELEGATE", "ACCEPT", "RETURN"),
    meta=("from", "to", "scope"),
)
AUTHENTICATION = Event(
    name="auth.authentication",
    description="Somebody proved who they are, or failed to.",
    verbs=("LOGIN", "LOGOUT", "REFRESH"),
    meta=("method",),
)
AUTHORIZATION = Event(
    name="auth.authorization",
    description="A permission was checked.",
    verbs=("ALLOW", "DENY"),
    meta=("permission",),
)
SECRET_ACCESS = Event(
    name="secret.access",
    description="A secret was used; its name is recorded, never its value.",
    verbs=("READ", "WRITE", "ROTATE", "REVOKE"),
    meta=("secret",),
)
CONFIG_CHANGE = Event(
    name="config.change",
    description="A setting was changed; digests tell the old and the new value.",
    verbs=("CREATE", "UPDATE", "DELETE"),
    meta=("key", "old_digest", "new_digest"),
)
SANDBOX_ACTIVITY = Event(
    name="sandbox.activity",
    description="A sandbox was made, left or given more rights.",
    verbs=("CREATE", "DESTROY", "ESCAPE", "MERGE"),
    meta=("sandbox_id", "policy"),
)
FINDING = Event(
    name="security.finding",
    description="A scanner found something, or a finding was dismissed.",
    verbs=("DETECT", "DISMISS"),
    meta=("scanner", "severity", "digest"),
)
BUDGET_EXCEEDED = Event(
    name="budget.exceeded",
    description="A budget came to its limit; `limit` and `used` are USD.",
    verbs=("EXCEED",),
    meta=("budget", "limit", "used"),
)

EVENTS = (
    TOOL_CALL,
    GUARD_VIOLATION,
    APPROVAL_REQUESTED,
    APPROVAL_DECIDED,
    POLICY_VIOLATION,
    PLAN_TRANSITION,
    DELEGATION,
    AUTHENTICATION,
    AUTHORIZATION,
    SECRET_ACCESS,
    CONFIG_CHANGE,
    SANDBOX_ACTIVITY,
    FINDING,
    BUDGET_EXCEEDED,
)

OWN_EVENTS = tuple(
    Event(name=name, description=description, verbs=("AUDIT",))
    for name, description in (
        ("audit.segment.start", "A file of the journal begins; `reason` tells why."),
        ("audit.writer.start", "A process begins to write."),
        ("audit.writer.stop", "A process ends writing."),
        ("audit.checkpoint", "The head of the chain, signed when a key is set."),
        ("audit.recovered", "Damaged bytes were found, and described, not removed."),
        ("audit.dropped", "Records were lost while the journal could not be written; `count` tells how many."),
        ("audit.rollback_detected", "The file was behind what this process had seen."),
        ("audit.segment.purged", "Old files were removed on request."),
    )
)

LOG_EVENT = "log.audit"  # a log record that asks to be audited and has no name of its own

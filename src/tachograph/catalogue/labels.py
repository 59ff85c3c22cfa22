"""Labels shared by instruments; semantic-convention names where there are any, `tachograph.<word>` otherwise."""

from tachograph.catalogue.events import EVENTS, LOG_EVENT, OWN_EVENTS
from tachograph.catalogue.model import Label

OUTCOME = Label(
    "tachograph.outcome",
    values=(
        "success",
        "failure",
        "blocked",
        "skipped",
        "cancelled",
        "timeout",
        "denied",
        "pending_approval",
        "retry",
    ),
)

TOOL = Label("gen_ai.tool.name", cap=100)
AGENT = Label("gen_ai.agent.name", cap=50)
PROVIDER = Label("gen_ai.provider.name", cap=50)
MODEL = Label("gen_ai.request.model", cap=50)
OPERATION = Label("gen_ai.operation.name", values=("chat", "text_completion", "generate_content", "embeddings"))
TOKEN_TYPE = Label("gen_ai.token.type", values=("input", "output"))
TOKEN_DETAIL = Label("gen_ai.token.type", values=("cache_read", "cache_write", "reasoning"))
COST_SOURCE = Label("tachograph.source", values=("emitter", "price_table", "user"))
FINISH_REASON = Label(
    "tachograph.reason",
    values=(
        "completed",
        "max_iterations",
        "max_tokens",
        "time_budget",
        "cost_budget",
        "cancelled",
        "error",
        "guardrail",
        "handoff",
        "tool_failure",
    ),
)
AGENT_STATUS = Label("tachograph.status", cap=50, declarable=True)
TRUST_LEVEL = Label("tachograph.trust_level", cap=50, declarable=True)
POPULATION_STATUS = Label("tachograph.status", cap=50, declarable=True)
DECISION = Label("tachograph.decision", values=("requested", "granted", "denied", "expired", "modified"))

BUDGET = Label("tachograph.budget", cap=100)

VERDICT = Label("tachograph.verdict", values=("allow", "deny", "escalate"))
GUARDRAIL = Label("tachograph.guardrail", cap=50)
GUARDRAIL_VERDICT = Label("tachograph.verdict", values=("pass", "flag", "block", "redact"))
VIOLATION_TYPE = Label("tachograph.type", cap=50, declarable=True)
SCANNER = Label("tachograph.scanner", values=("gitleaks", "trivy", "sbom"), cap=50, declarable=True)
SEVERITY = Label("tachograph.severity", values=("LOW", "MEDIUM", "HIGH", "CRITICAL", "UNKNOWN"))
SCAN_REASON = Label("tachograph.reason", values=("timeout", "error", "policy_block", "unknown"))

STAGE = Label("tachograph.stage", cap=50, declarable=True)
RETRY_REASON = Label(
    "tachograph.reason",
    values=("cooldown", "repo_throttled", "transient_error", "celery_retry"),
    cap=50,
    declarable=True,
)
LOOP_REASON = Label("tachograph.reason", values=("max_attempts", "blocked_reason_other"), cap=50, declarable=True)
THROTTLE_SCOPE = Label("tachograph.scope", values=("repo", "org", "webhook", "repo_concurrency"))
CHANGE_LABEL = Label("tachograph.label", values=("safe", "needs-review", "unknown"))

TASK = Label("tachograph.task", cap=100)
TASK_STATUS = Label("tachograph.status", values=("started", "success", "failure", "retry", "revoked"))
QUEUE = Label("tachograph.queue", cap=20)

WHERE = Label("tachograph.where", cap=100)
EVENT = Label("tachograph.event", values=(*(each.name for each in (*EVENTS, *OWN_EVENTS)), LOG_EVENT))
AUDIT_RESULT = Label("tachograph.result", values=("written", "refused", "dropped"))
INSTRUMENT = Label("tachograph.instrument", cap=200)
LABEL = Label("tachograph.label", cap=100)

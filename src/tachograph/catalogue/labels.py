"""Labels shared by instruments; semantic-convention names where there are any, `tachograph.<word>` otherwise."""

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
STAGE = Label("tachograph.stage", cap=50)
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
WHERE = Label("tachograph.where", cap=100)
EVENT = Label("tachograph.event", cap=100)
AUDIT_RESULT = Label("tachograph.result", values=("written", "refused", "dropped"))
INSTRUMENT = Label("tachograph.instrument", cap=200)
LABEL = Label("tachograph.label", cap=100)

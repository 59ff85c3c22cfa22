"""Tool calls and their approval."""

from tachograph.catalogue.bounds import WORK_SECONDS
from tachograph.catalogue.labels import DECISION, OUTCOME, TOOL
from tachograph.catalogue.model import Instrument

TOOL_CALLS = Instrument(
    name="tachograph.tool.calls",
    kind="counter",
    unit="{call}",
    description="Tool calls, by how they ended.",
    labels=(TOOL, OUTCOME),
)
TOOL_DURATION = Instrument(
    name="tachograph.tool.duration",
    kind="histogram",
    unit="s",
    description="Time that a tool call took.",
    labels=(TOOL, OUTCOME),
    bounds=WORK_SECONDS,
)
TOOL_APPROVALS = Instrument(
    name="tachograph.tool.approvals",
    kind="counter",
    unit="{decision}",
    description="Requests for approval and decisions on them.",
    labels=(DECISION,),
)
TOOL_APPROVALS_PENDING = Instrument(
    name="tachograph.tool.approvals.pending",
    kind="gauge",
    unit="{approval}",
    description="Approvals that this process requested and nobody has decided.",
)
TOOL_APPROVALS_OLDEST = Instrument(
    name="tachograph.tool.approvals.oldest_pending",
    kind="gauge",
    unit="s",
    description="Age of the oldest approval that is pending; absent when none is.",
)

INSTRUMENTS = (
    TOOL_CALLS,
    TOOL_DURATION,
    TOOL_APPROVALS,
    TOOL_APPROVALS_PENDING,
    TOOL_APPROVALS_OLDEST,
)

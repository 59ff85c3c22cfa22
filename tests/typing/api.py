"""What a typed application may write; checked by mypy, never executed."""

from typing import assert_type

import tachograph
from tachograph.audit import Record
from tachograph.operations.kinds import LlmRun, PlanRun, ToolRun

telemetry = tachograph.configure(service_name="planner", log_level="DEBUG")
assert_type(telemetry, tachograph.Telemetry)
assert_type(telemetry.flush(2.0), bool)

with tachograph.plan("fix-build", plan_id="p-7") as plan, tachograph.agent("planner"):
    assert_type(plan, PlanRun)
    with tachograph.tool_call("shell", effect="write") as call:
        assert_type(call, ToolRun)
        call.outcome = "blocked"

written = tachograph.audit.record(
    "config.change", actor="user:ada", action="UPDATE", resource="setting:model", key="model"
)
assert_type(written, Record | None)


@tachograph.stage("double")
def double(number: int) -> int:
    return number * 2


@tachograph.tool_call("fetch")
async def fetch(url: str) -> bytes:
    async with tachograph.llm_call("openai", "gpt-4o-mini") as call:
        assert_type(call, LlmRun)
        call.usage(input_tokens=1)
    return url.encode()


assert_type(double(2), int)

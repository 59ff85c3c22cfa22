"""A run of the demo in which everything holds, made without starting anything."""

from pathlib import Path

import pytest

from tachograph.cli.demo_records import AuditRecord, LogLine, Span, exposition
from tachograph.cli.demo_session import Answer, Evidence, Verdict

METRICS = """\
# HELP tachograph_tool_calls_total Tool calls, by how they ended.
# TYPE tachograph_tool_calls_total counter
tachograph_tool_calls_total{gen_ai_tool_name="search",tachograph_outcome="success"} 1
tachograph_tool_calls_total{gen_ai_tool_name="fetch_page",tachograph_outcome="failure"} 1
tachograph_tool_calls_total{gen_ai_tool_name="shell",tachograph_outcome="blocked"} 1
tachograph_tool_calls_total{gen_ai_tool_name="send_mail",tachograph_outcome="success"} 1
# TYPE tachograph_plan_executions_total counter
tachograph_plan_executions_total{tachograph_outcome="success"} 1
# TYPE tachograph_plan_duration_seconds histogram
tachograph_plan_duration_seconds_bucket{le="0.1"} 1
tachograph_plan_duration_seconds_bucket{le="+Inf"} 1
tachograph_plan_duration_seconds_count 1
tachograph_plan_duration_seconds_sum 0.05
# TYPE http_server_active_requests gauge
http_server_active_requests{http_request_method="POST"} 0
"""
OPENMETRICS = """\
# TYPE tachograph_tool_calls counter
tachograph_tool_calls_total{gen_ai_tool_name="search"} 1 # {trace_id="t1",span_id="s4"} 1 1.5
# EOF
"""


def span(span_id: str, parent_id: str, name: str, time: int, trace_id: str = "t1", **attributes: str) -> Span:
    spelled = {key.replace("__", "."): value for key, value in attributes.items()}
    return Span(trace_id, span_id, parent_id, name, time, time + 2_000_000, {"request_id": "r-1", **spelled})


def audit_record(
    seq: int, event: str, action: str, trace_id: str = "t1", span_id: str = "s4", **meta: str
) -> AuditRecord:
    ids = {"request_id": "r-1", "plan_id": "p"}
    return AuditRecord(trace_id, span_id, seq, seq, event, "agent:planner", action, "tool:x", "success", meta, ids)


@pytest.fixture
def evidence() -> Evidence:
    """Everything that one request, mailing a report, leaves behind."""
    ids = {"request_id": "r-1", "plan_id": "p", "goal": "mail"}
    return Evidence(
        directory=Path("my dir"),
        answers=(Answer("r-1", "mail", "done"),),
        spans=(
            span("s1", "", "POST /runs", 1),
            span("s1b", "s1", "POST /runs http send", 9),
            span("s2", "s1", "plan answer", 2),
            span("s4", "s2", "execute_tool shell", 4, tachograph__outcome="blocked"),
            span("a1", "", "POST /approvals/{approval_id}", 6, "t2", request_id="r-1-approval"),
        ),
        logs=(
            LogLine("t1", "s2", 3, "INFO", "demo.agent", "run started", ids),
            LogLine("t1", "s4", 5, "WARN", "demo.tools", "not so", ids),
            LogLine("t1", "s4", 5, "INFO", "httpx", "HTTP Request", ids),
            LogLine("t1", "s4", 5, "INFO", "tachograph.audit", "{}", ids),
        ),
        audit=(
            audit_record(2, "agent.tool.call", "EXECUTE", phase="start"),
            audit_record(3, "agent.guard.violation", "BLOCK", guard="no-shell"),
            audit_record(4, "agent.approval.requested", "REQUEST", approval_id="ap-1"),
            audit_record(5, "agent.approval.decided", "APPROVE", "t2", "a1", approval_id="ap-1", approver="user:ada"),
            audit_record(6, "agent.plan.transition", "FINISH", span_id="s2"),
        ),
        scraped=exposition(METRICS),
        openmetrics=exposition(OPENMETRICS),
        textfile=exposition(METRICS),
        verdict=Verdict(records=7, head="seq 7, hash abc"),
        exit_code=-15,
        seconds=1.25,
    )

"""The demo's service in this process, with a model that answers from memory."""

import asyncio
import json
import logging

import httpx

from tachograph.cli import demo_model, demo_service


def model(request: httpx.Request) -> httpx.Response:
    if request.url.path != "/v1/chat/completions":
        return httpx.Response(404)
    return httpx.Response(200, json=demo_model.completion(json.loads(request.content), "http://model"))


def endless(request: httpx.Request) -> httpx.Response:
    """A model that never comes to an end: it hears the first words only."""
    said = json.loads(request.content)
    return httpx.Response(200, json=demo_model.completion({**said, "messages": said["messages"][:2]}))


def talk(answer, *requests):
    """Send the service these requests, one after the other, and return its answers; `answer` is its model."""

    async def conversation():
        model_client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://model/v1")
        service = httpx.ASGITransport(demo_service.make_app(model_client))
        async with model_client, httpx.AsyncClient(transport=service, base_url="http://service") as client:
            said = []
            for request in requests:
                path, body = request(said) if callable(request) else request
                said.append(await client.post(path, json=body))
        return said

    return asyncio.run(conversation())


def goal(text):
    return "/runs", {"goal": text}


def approve(said):
    return f"/approvals/{said[-1].json()['approval_id']}", {"approver": "user:ada"}


class TestRun:
    def test_question_is_answered_with_one_tool(self, telemetry, caplog):
        """
        A run is a plan, an agent, an assembled context, two turns and a tool call, and both logging libraries speak.
        """
        caplog.set_level(logging.INFO)
        (done,) = talk(model, goal("What?"))

        assert done.json()["status"] == "done"
        assert [span.name for span in telemetry.spans if span.instrumentation_scope.name == "tachograph"] == [
            "context_assembly",
            "chat gpt-4o-mini",
            "execute_tool search",
            "chat gpt-4o-mini",
            "invoke_agent planner",
            "plan answer",
        ]
        assert telemetry.value("tachograph.agent.turns") == 2
        assert telemetry.value("tachograph.llm.calls_without_usage") == 0
        assert {log.instrumentation_scope.name for log in telemetry.logs} >= {"demo.agent", "demo.tools"}

    def test_guardrail_blocks_the_shell(self, telemetry):
        """
        A blocked command has its intent, the guardrail's violation and the blocked outcome in the audit trail.
        """
        talk(model, goal("disk"))

        assert telemetry.value("tachograph.tool.calls", outcome="blocked") == 1
        acts = [(each["event"], each["action"], each["outcome"]) for each in telemetry.audit[1:-1]]
        assert acts == [
            ("agent.tool.call", "EXECUTE", "unknown"),
            ("agent.guard.violation", "BLOCK", "success"),
            ("agent.tool.call", "EXECUTE", "failure"),
        ]
        assert telemetry.audit[2]["meta"] == {"guard": "no-shell", "rule": "destructive-command", "verdict": "block"}

    def test_mail_waits_for_its_approval(self, telemetry):
        """
        Nothing is sent before somebody approves; request and decision carry one approval id and one plan id.
        """
        sent_before = []

        def look_and_approve(said):
            sent_before.append(telemetry.value("tachograph.tool.calls", gen_ai_tool_name="send_mail"))
            return approve(said)

        waiting, done = talk(model, goal("mail"), look_and_approve)

        assert waiting.json()["status"] == "waiting"
        assert sent_before == [0]
        assert done.json()["status"] == "done"
        assert telemetry.value("tachograph.tool.calls", gen_ai_tool_name="send_mail", outcome="success") == 1
        asked, decided = (each for each in telemetry.audit if each["event"].startswith("agent.approval."))
        assert asked["meta"] == {"approval_id": waiting.json()["approval_id"], "scope": "once"}
        assert decided["meta"] == {**asked["meta"], "approver": "user:ada"}
        assert decided["actor"] == {"id": "user:ada", "type": "user"}
        assert decided["correlation"]["plan_id"] == asked["correlation"]["plan_id"]

    def test_failed_tool_is_handed_back_to_the_model(self, telemetry):
        """
        A page that cannot be fetched is a failed tool call, and the run goes on.
        """
        (waiting,) = talk(model, goal("mail"))

        assert waiting.json()["status"] == "waiting"
        failed = telemetry.span("execute_tool fetch_page")
        assert failed.attributes["tachograph.outcome"] == "failure"
        assert failed.attributes["error.type"] == "httpx.HTTPStatusError"

    def test_run_ends_after_so_many_turns(self, telemetry):
        """
        A model that asks for tools forever is cut off, and the agent says why.
        """
        (done,) = talk(endless, goal("What?"))

        assert done.json()["answer"] == "no answer within 8 turns"
        assert telemetry.value("tachograph.agent.finish", reason="max_iterations") == 1

    def test_model_that_fails_fails_the_run(self, telemetry):
        """
        A model without an answer ends the run as failed, with the plan aborted and a log line that has the error.
        """
        (failed,) = talk(lambda _request: httpx.Response(500), goal("What?"))

        assert failed.json()["status"] == "failed"
        assert "500" in failed.json()["answer"]
        assert telemetry.audit[-1]["action"] == "ABORT"
        assert [log.log_record.body for log in telemetry.logs if log.log_record.severity_text == "ERROR"] == [
            "run failed"
        ]


class TestApproval:
    def test_unknown_approval_is_not_found(self):
        """
        Nobody can approve what nobody asked for.
        """
        (answer,) = talk(model, ("/approvals/ap-0", {"approver": "user:ada"}))

        assert answer.status_code == 404


def test_model_is_where_the_environment_says(monkeypatch):
    """
    As with any client of that format, OPENAI_BASE_URL names the endpoint.
    """
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")

    assert demo_service.make_app().title == "tachograph demo"

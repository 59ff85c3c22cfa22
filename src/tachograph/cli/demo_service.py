"""
The demo's agent service: FastAPI, httpx, structlog and logging as anybody uses them, and tachograph for the agent.

`POST /runs` starts a run and answers when it is done or waits for an approval; `POST /approvals/{id}` lets it go on.
"""

import asyncio
import json
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx
import structlog
from fastapi import Body, FastAPI, HTTPException

import tachograph
from tachograph import audit, correlation

MODEL = "gpt-4o-mini"
TURNS = 8

Message = dict[str, Any]
Arguments = Mapping[str, str]
Progress = dict[str, str]

log = structlog.get_logger("demo.agent")
tools_log = logging.getLogger("demo.tools")


def make_app(client: httpx.AsyncClient | None = None) -> FastAPI:
    """Make the service; `client` reaches the model, by default the one that OPENAI_BASE_URL names."""
    app = FastAPI(title="tachograph demo")
    desk = Desk(client or httpx.AsyncClient(base_url=os.environ["OPENAI_BASE_URL"], trust_env=False))

    @app.post("/runs")
    async def start_run(goal: Annotated[str, Body(embed=True)]) -> Progress:
        return await desk.start(goal)

    @app.post("/approvals/{approval_id}")
    async def approve(approval_id: str, approver: Annotated[str, Body(embed=True)]) -> Progress:
        if not desk.knows(approval_id):
            raise HTTPException(404, "nothing waits for this approval")
        return await desk.approve(approval_id, approver)

    return app


@dataclass(frozen=True)
class Approval:
    """Somebody's yes to an act, which a run waits for."""

    plan_id: str
    resource: str
    run: "Run"
    approver: asyncio.Future[str]
    id: str = field(default_factory=lambda: f"ap-{secrets.token_hex(4)}")


class Desk:
    """Starts runs, and takes the approvals that they wait for."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[str, Approval] = {}

    async def start(self, goal: str) -> Progress:
        """Start a run and return how far it comes by itself."""
        run = Run(self._client, self)
        task = asyncio.create_task(run.work(goal))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await run.progress.get()

    async def ask(self, run: "Run", resource: str) -> str:
        """Ask for an approval, wait for it, and return who gave it."""
        approver: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        approval = Approval(correlation.ids()["plan_id"], resource, run, approver)
        self._waiting[approval.id] = approval
        log.info("waiting for approval", approval_id=approval.id)
        audit.record(
            "agent.approval.requested", action="REQUEST", resource=resource, approval_id=approval.id, scope="once"
        )
        run.progress.put_nowait({"status": "waiting", "approval_id": approval.id})
        return await approver

    def knows(self, approval_id: str) -> bool:
        """Tell whether a run waits for this approval."""
        return approval_id in self._waiting

    async def approve(self, approval_id: str, approver: str) -> Progress:
        """Let the run that waits for this approval go on, and return how far it comes."""
        approval = self._waiting.pop(approval_id)
        with tachograph.bind(plan_id=approval.plan_id):  # this is another request: its trace is another one
            log.info("approved", approval_id=approval_id)
            audit.record(
                "agent.approval.decided",
                actor=approver,
                action="APPROVE",
                resource=approval.resource,
                approval_id=approval_id,
                approver=approver,
                scope="once",
            )
        approval.approver.set_result(approver)
        return await approval.run.progress.get()


class Run:
    """One run of the agent: it asks the model and calls the tools that the model wants, until the model answers."""

    def __init__(self, client: httpx.AsyncClient, desk: Desk) -> None:
        self.progress: asyncio.Queue[Progress] = asyncio.Queue()
        self._client = client
        self._desk = desk
        self._tools: Mapping[str, Callable[[str, Arguments], Awaitable[str]]] = {
            "search": self._search,
            "fetch_page": self._fetch_page,
            "shell": self._shell,
            "send_mail": self._send_mail,
        }

    async def work(self, goal: str) -> None:
        """Work to the end and say how it was."""
        try:
            self.progress.put_nowait({"status": "done", "answer": await self._answer(goal)})
        except Exception as error:
            log.exception("run failed")
            self.progress.put_nowait({"status": "failed", "answer": repr(error)})

    async def _answer(self, goal: str) -> str:
        with tachograph.plan("answer"), tachograph.agent("planner") as agent:
            log.info("run started", goal=goal)
            messages = _assembled(goal)
            for _ in range(TURNS):
                reply = await self._ask_model(messages)
                if not reply.get("tool_calls"):
                    log.info("run finished", turns=agent.turns)
                    return str(reply["content"])
                messages += [reply, *[await self._tool_message(call) for call in reply["tool_calls"]]]

            agent.finish("max_iterations")
            return f"no answer within {TURNS} turns"

    async def _ask_model(self, messages: list[Message]) -> Message:
        with tachograph.llm_call("openai", MODEL) as call:
            answer = await self._client.post("chat/completions", json={"model": MODEL, "messages": messages})
            completion = answer.raise_for_status().json()
            usage = completion["usage"]
            call.usage(input_tokens=usage["prompt_tokens"], output_tokens=usage["completion_tokens"])
            reply: Message = completion["choices"][0]["message"]
            return reply

    async def _tool_message(self, call: Message) -> Message:
        name, arguments = call["function"]["name"], json.loads(call["function"]["arguments"])
        try:
            content = await self._tools[name](call["id"], arguments)
        except httpx.HTTPError as error:
            tools_log.warning("%s failed, the model is told: %s", name, type(error).__name__)
            content = f"error: {error}"
        return {"role": "tool", "tool_call_id": call["id"], "content": content}

    async def _search(self, call_id: str, arguments: Arguments) -> str:
        with tachograph.tool_call("search", arguments=arguments, effect="read", call_id=call_id):
            tools_log.info("searching for %r", arguments["query"], extra={"index": "vehicles"})
            return "one page: /annual-report"

    async def _fetch_page(self, call_id: str, arguments: Arguments) -> str:
        with tachograph.tool_call("fetch_page", arguments=arguments, effect="read", call_id=call_id):
            page = await self._client.get(arguments["url"])
            return page.raise_for_status().text

    async def _shell(self, call_id: str, arguments: Arguments) -> str:
        with tachograph.tool_call("shell", arguments=arguments, effect="destructive", call_id=call_id) as call:
            call.outcome = "blocked"
            log.warning("command blocked", guard="no-shell", rule="destructive-command")
            audit.record(
                "agent.guard.violation",
                action="BLOCK",
                resource="tool:shell",
                guard="no-shell",
                rule="destructive-command",
                verdict="block",
            )
            return "blocked by a guardrail"

    async def _send_mail(self, call_id: str, arguments: Arguments) -> str:
        with tachograph.stage("approval"):
            approver = await self._desk.ask(self, "tool:send_mail")
        with tachograph.tool_call("send_mail", arguments=arguments, effect="external", call_id=call_id) as call:
            call.note(approver=approver)
            log.info("mail sent", to=arguments["to"])
            return "sent"


def _assembled(goal: str) -> list[Message]:
    with tachograph.context_assembly(budget_tokens=8000) as context:
        messages = [{"role": "system", "content": "Use the tools."}, {"role": "user", "content": goal}]
        context.fragments = len(messages)
        context.tokens = sum(len(message["content"]) // 4 for message in messages)
        return messages

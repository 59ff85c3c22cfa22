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
from opentelemetry import trace

import tachograph

MODEL = "gpt-4o-mini"
TURNS = 8

Message = dict[str, Any]
Progress = dict[str, str]
Arguments = Mapping[str, str]

log: structlog.stdlib.BoundLogger = structlog.get_logger("demo.agent")
tools_log = logging.getLogger("demo.tools")


def make_app(client: httpx.AsyncClient | None = None) -> FastAPI:
    """Make the service; `client` reaches the model, by default the one that OPENAI_BASE_URL names."""
    app = FastAPI(title="tachograph demo", openapi_url=None)
    desk = Desk(client or httpx.AsyncClient(base_url=os.environ["OPENAI_BASE_URL"], trust_env=False))

    @app.post("/runs")
    async def start_run(goal: Annotated[str, Body(embed=True)]) -> Progress:
        return await desk.start(goal)

    @app.post("/approvals/{approval_id}")
    async def approve(approval_id: str, approver: Annotated[str, Body(embed=True)]) -> Progress:
        return await desk.approve(approval_id, approver)

    return app


@dataclass
class Approval:
    """What a run waits for: somebody's yes to an act."""

    resource: str
    plan_id: str
    run: "Run"
    id: str = field(default_factory=lambda: f"ap-{secrets.token_hex(4)}")
    approver: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Desk:
    """The runs in progress and the approvals that they wait for."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self._open: dict[str, Approval] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, goal: str) -> Progress:
        """Start a run and return how far it came by itself."""
        run = Run(self, goal)
        task = asyncio.create_task(run.work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await run.progress.get()

    async def ask(self, approval: Approval) -> str:
        """Ask for an approval and wait for who gives it."""
        self._open[approval.id] = approval
        _record_approval("requested", "REQUEST", approval)
        log.info("waiting for approval", approval_id=approval.id)
        approval.run.progress.put_nowait({"status": "waiting", "approval_id": approval.id})
        return await approval.approver

    async def approve(self, approval_id: str, approver: str) -> Progress:
        """Let the run go on that waits for this approval and return how far it came."""
        approval = self._open.pop(approval_id, None)
        if approval is None:
            raise HTTPException(404, "no run waits for this approval")

        with tachograph.bind(plan_id=approval.plan_id):
            log.info("approved", approval_id=approval_id, approver=approver)
            _record_approval("decided", "APPROVE", approval, actor=approver, approver=approver)
        approval.approver.set_result(approver)
        return await approval.run.progress.get()


class Run:
    """One run of the agent: it asks the model, calls the tools that the model wants, until the model answers."""

    def __init__(self, desk: Desk, goal: str) -> None:
        self.progress: asyncio.Queue[Progress] = asyncio.Queue()
        self._desk = desk
        self._client = desk.client
        self._goal = goal
        self._plan_id = f"plan-{secrets.token_hex(4)}"
        self._tools: Mapping[str, Callable[[tachograph.ToolCall, Arguments], Awaitable[str]]] = {}

    async def work(self) -> None:
        """Work to the end, whatever it is, and say what came of it."""
        try:
            answer = await self._answer()
            self.progress.put_nowait({"status": "done", "answer": answer, "trace_id": _trace_id()})
        except Exception as error:
            log.exception("run failed")
            self.progress.put_nowait({"status": "failed", "answer": repr(error), "trace_id": _trace_id()})

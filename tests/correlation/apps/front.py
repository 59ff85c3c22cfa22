"""The first of three hops: FastAPI, which asks the Flask service behind it, as chance would have it."""

import asyncio
import logging
import os

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from opentelemetry import trace

import tachograph

app = FastAPI()
log = logging.getLogger("app.front")


@app.get("/run/{way}")
async def run(way: str, request: Request) -> dict[str, object]:
    log.info("front %s", way)
    with tachograph.bind(plan_id=f"p-{request.headers['x-order']}", delivery_id="d-1"):
        if way == "task":
            return await asyncio.create_task(ask(way))
        if way == "thread":
            return await asyncio.to_thread(ask_in_thread, way)
        return await ask(way)


async def ask(way: str) -> dict[str, object]:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{os.environ['BACK_PORT']}/hop/{way}", timeout=50)
    return answer.json()


def ask_in_thread(way: str) -> dict[str, object]:
    with httpx.Client() as client:
        return client.get(f"http://127.0.0.1:{os.environ['BACK_PORT']}/hop/{way}", timeout=50).json()


@app.get("/stream")
def stream() -> StreamingResponse:
    return StreamingResponse(chunks())


def chunks():
    yield tachograph.correlation.ids()["request_id"]
    log.info("front streams")


@app.get("/fail")
def fail() -> None:
    raise RuntimeError("as asked")


@app.get("/own")
def own() -> StreamingResponse:
    return StreamingResponse(iter(["own"]), headers={"X-Request-ID": "of-the-app"})


@app.get("/seen")
def seen() -> dict[str, object]:
    trace_id = f"{trace.get_current_span().get_span_context().trace_id:032x}"
    return {"ids": dict(tachograph.correlation.ids()), "trace_id": trace_id}

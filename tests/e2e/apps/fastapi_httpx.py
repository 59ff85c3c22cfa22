"""FastAPI, httpx and structlog, none of them told about telemetry; `/said` answers with the app's own counting."""

import logging
import os
from collections import Counter

import httpx
import structlog
from fastapi import FastAPI, Request
from opentelemetry import metrics, trace

import tachograph

app = FastAPI()
log = structlog.get_logger("app.web")
stdlib = logging.getLogger("app.stdlib")
said: Counter[str] = Counter()
orders = metrics.get_meter("app").create_counter("app.orders", "{order}", "Orders taken.")
sizes = metrics.get_meter("app").create_histogram("app.order.size", "{item}", "Items of an order.")
traces: dict[str, str] = {}


@app.middleware("http")
async def count(request: Request, call_next):
    said["requests"] += 1
    return await call_next(request)


@app.get("/orders/{number}")
async def take(number: int, request: Request) -> dict[str, object]:
    trace_id = f"{trace.get_current_span().get_span_context().trace_id:032x}"
    traces[request.headers.get("x-request-id", "")] = trace_id
    log.info("order taken", number=number)
    said["structlog"] += 1
    stdlib.info("order %d taken", number)
    said["stdlib"] += 1
    orders.add(1)
    sizes.record(number)
    said["orders"] += 1
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{os.environ['APP_PORT']}/stock/{number}")
    said["calls"] += 1
    with tachograph.tool_call("reserve", effect="write"):
        said["tools"] += 1
        said["audit"] += 1
    tachograph.audit.record("config.change", actor="user:ada", action="UPDATE", resource=f"order:{number}")
    log.info("sandbox.activity", audit=True, resource=f"order:{number}")
    said["audit"] += 2
    said["structlog"] += 1
    return {"trace_id": trace_id, "stock": answer.json()}


@app.get("/stock/{number}")
async def stock(number: int, request: Request) -> dict[str, object]:
    log.warning("stock asked", number=number)
    said["structlog"] += 1
    return {"number": number, "request_id": request.headers.get("x-request-id")}


@app.get("/said")
async def tell() -> dict[str, object]:
    return {**said, "traces": traces}

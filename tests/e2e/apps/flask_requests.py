"""Flask, requests and stdlib logging, none told about telemetry; `/said` answers with the app's own counting."""

import logging
import os
import threading
from collections import Counter

import requests
from flask import Flask, jsonify, request
from opentelemetry import metrics, trace

import tachograph

app = Flask("shop")
log = logging.getLogger("app.web")
said: Counter[str] = Counter()
lock = threading.Lock()
orders = metrics.get_meter("app").create_counter("app.orders", "{order}", "Orders taken.")
sizes = metrics.get_meter("app").create_histogram("app.order.size", "{item}", "Items of an order.")
traces: dict[str, str] = {}


def add(**counts: int) -> None:
    with lock:
        said.update(counts)


@app.before_request
def count() -> None:
    add(requests=1)


@app.get("/orders/<int:number>")
def take(number: int):
    trace_id = f"{trace.get_current_span().get_span_context().trace_id:032x}"
    traces[request.headers.get("X-Request-ID", "")] = trace_id
    log.info("order %d taken", number, extra={"number": number})
    orders.add(1)
    sizes.record(number)
    answer = requests.get(f"http://127.0.0.1:{os.environ['APP_PORT']}/stock/{number}", timeout=30)
    with tachograph.tool_call("reserve", effect="write"):
        add(tools=1, audit=1)
    tachograph.audit.record("config.change", actor="user:ada", action="UPDATE", resource=f"order:{number}")
    log.info("sandbox.activity", extra={"audit": True, "resource": f"order:{number}"})
    add(stdlib=2, orders=1, calls=1, audit=2)
    return jsonify(trace_id=trace_id, stock=answer.json())


@app.get("/stock/<int:number>")
def stock(number: int):
    log.warning("stock of %d asked", number)
    add(stdlib=1)
    return jsonify(number=number, request_id=request.headers.get("X-Request-ID"))


@app.get("/said")
def tell():
    with lock:
        return jsonify(**said, traces=traces)


if __name__ == "__main__":
    app.run("127.0.0.1", int(os.environ["APP_PORT"]))

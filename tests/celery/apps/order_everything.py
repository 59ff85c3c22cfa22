"""Sends a task in every way that Celery has, within one span and with one request id, and waits for the results."""

import json

import order_tasks
from celery import chain, chord, group
from opentelemetry import trace

import tachograph

tracer = trace.get_tracer("orders")

with tachograph.bind(request_id="req-1", delivery_id="delivery-1"), tracer.start_as_current_span("order"):
    sent = {
        "delay": order_tasks.add.delay(1, 1),
        "eta": order_tasks.add.apply_async((2, 2), countdown=0.3),
        "chain": chain(order_tasks.add.s(3, 3), order_tasks.add.s(3)).delay(),
        "chord": chord([order_tasks.add.s(4, 4), order_tasks.add.s(5, 5)])(order_tasks.total.s()),
        "group": group([order_tasks.add.s(6, 6), order_tasks.add.s(7, 7)]).delay(),
        "retry": order_tasks.flaky.delay(8),
        "send_task": order_tasks.app.send_task("order_tasks.add", (9, 9)),
        "failure": order_tasks.broken.delay(),
    }
    order_tasks.app.send_task("nobody.knows", queue="elsewhere")
    current = trace.get_current_span().name
    results = {name: result.get(timeout=30, propagate=False) for name, result in sent.items()}

failure = type(results.pop("failure")).__name__
print(json.dumps({"results": results, "failure": failure, "current": current}))

"""
A plain script: stdlib logging, operations, audit. It counts what it does and says so on stdout at the end.

`APP_CONFIGURE=name` calls `tachograph.configure(name)` first, as a script without zero code does; `APP_WAIT=1` waits
for a signal instead of ending; `APP_EXIT=n` ends with that status.
"""

import json
import logging
import os
import signal
import sys

import tachograph

if os.environ.get("APP_CONFIGURE"):
    telemetry = tachograph.configure(service_name=os.environ["APP_CONFIGURE"])
    assert tachograph.configure(service_name=os.environ["APP_CONFIGURE"]) is telemetry

from opentelemetry import metrics, trace

log = logging.getLogger("app.script")
steps = metrics.get_meter("app").create_counter("app.steps", "{step}", "Steps taken.")
said = {"spans": 0, "logs": 0, "audit": 0, "marked": 0, "steps": 0, "tools": 0}


def main() -> None:
    with tachograph.bind(request_id="req-script-1"):
        work(int(os.environ.get("APP_STEPS", "25")))
    said["trace_id"] = trace_id
    print(json.dumps(said), flush=True)
    if os.environ.get("APP_WAIT"):
        while True:
            signal.pause()
    sys.exit(int(os.environ.get("APP_EXIT", "0")))


trace_id = ""


def work(count: int) -> None:
    global trace_id
    with tachograph.plan("fix-build", plan_id="p-7"), tachograph.agent("planner"):
        said["spans"] += 2
        said["audit"] += 2  # a plan's start and its end
        trace_id = f"{trace.get_current_span().get_span_context().trace_id:032x}"
        for number in range(count):
            step(number)
        with tachograph.llm_call("openai", "gpt-5") as call:
            said["spans"] += 1
            call.usage(input_tokens=100, output_tokens=20)


def step(number: int) -> None:
    with tachograph.tool_call("shell", arguments={"command": "make"}, effect="read") as call:
        said["spans"] += 1
        said["audit"] += 1
        said["tools"] += 1
        log.info("step %d", number, extra={"step": number})
        said["logs"] += 1
        steps.add(1, {"kind": "even" if number % 2 == 0 else "odd"})
        said["steps"] += 1
        if number % 5 == 4:
            call.outcome = "blocked"
    if number % 10 == 0:
        tachograph.audit.record(
            "config.change", actor="user:ada", action="UPDATE", resource="setting:model", key="model"
        )
        logging.info("sandbox.activity", extra={"audit": True, "resource": "deploy:web"})
        said["audit"] += 2
        said["marked"] += 1
        said["logs"] += 1


main()

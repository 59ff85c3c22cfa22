"""A Celery application that knows nothing about telemetry, but for one audit record a task."""

import logging
import os
import signal

from celery import Celery
from celery.utils.log import get_task_logger

import tachograph

app = Celery("orders", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.broker_connection_retry_on_startup = True
app_log = logging.getLogger("orders.app")
task_log = get_task_logger("orders.task")


def note(what: str) -> None:
    app_log.warning("app: %s", what)
    task_log.warning("task: %s", what)
    tachograph.audit.record("config.change", actor="user:ada", action="UPDATE", resource=f"order:{what}")


@app.task
def add(x: int, y: int) -> int:
    note(f"add {x}")
    return x + y


@app.task
def total(numbers: list[int]) -> int:
    note("total")
    return sum(numbers)


@app.task(bind=True, max_retries=2)
def flaky(self, x: int) -> int:
    note(f"flaky {self.request.retries}")
    if self.request.retries < 1:
        raise self.retry(countdown=0.1)
    return x


@app.task
def broken() -> None:
    note("broken")
    raise ValueError("as it must")


@app.task
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)

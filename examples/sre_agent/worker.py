"""The worker: a chain of two tasks, the pipeline itself and what is kept of it."""

import logging
import os

from celery import Celery, Task, chain
from celery.signals import worker_ready

import tachograph
from sre_agent import pipeline
from sre_agent.model import ModelUnavailable
from sre_agent.store import Store

app = Celery("sre_agent", broker=os.environ["SRE_AGENT_REDIS"], backend=os.environ["SRE_AGENT_REDIS"])
app.conf.broker_connection_retry_on_startup = True
log = logging.getLogger("sre_agent.worker")
store = Store()


def start(event: dict[str, str], failure_id: str, run_key: str) -> None:
    """Enqueue the pipeline of a failing job."""
    chain(remediate.s(event, failure_id), persist.s(run_key)).delay()


@app.task(bind=True, max_retries=2)
def remediate(self: Task, event: dict[str, str], failure_id: str) -> str:
    """Plan, patch, check and propose a change; returns the outcome. Tried again when the model is overloaded."""
    retries = self.request.retries
    attempts = store.attempts(failure_id) if retries == 0 else retries
    try:
        return pipeline.run(pipeline.Job(event["log"], event["scenario"], attempts, retries))
    except ModelUnavailable as error:
        log.warning("the model is overloaded, trying again")
        tachograph.retry("transient_error")
        raise self.retry(exc=error, countdown=0.2) from error


@app.task
def persist(outcome: str, run_key: str) -> None:
    """Keep what came of a run, which is when its caller may know."""
    pipeline.persist(outcome)
    store.save_outcome(run_key, outcome)


@worker_ready.connect
def say_ready(**_signal: object) -> None:
    """Let the driver begin."""
    store.say_ready()

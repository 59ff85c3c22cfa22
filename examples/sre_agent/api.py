"""The API: takes the webhook of a failing CI job, keeps it and enqueues its pipeline."""

import logging

from fastapi import FastAPI, Header
from pydantic import BaseModel

import tachograph
from sre_agent import declarations, worker
from sre_agent.store import MAX_ATTEMPTS, Store

app = FastAPI()
log = logging.getLogger("sre_agent.api")
store = Store()


class Failure(BaseModel):
    """A failing CI job."""

    repository: str
    job: str
    log: str
    scenario: str = "success"


@app.post("/webhooks/ci", status_code=202)
def failing_job(failure: Failure, x_delivery_id: str = Header()) -> dict[str, str]:
    """Start a pipeline for a failing job."""
    failure_id = declarations.failure_id(failure.repository, failure.job)
    run_key = declarations.run_key(failure_id, x_delivery_id)
    with tachograph.bind(delivery_id=x_delivery_id, run_key=run_key, failure_id=failure_id, run_id=f"run-{run_key}"):
        with tachograph.stage("ingest_webhook"):
            event = failure.model_dump()
            log.info("webhook taken")
        with tachograph.stage("store_event"):
            store.save_event(run_key, event)
            if failure.scenario == "loop":
                store.remember_attempts(failure_id, MAX_ATTEMPTS)
        with tachograph.stage("enqueue_pipeline"):
            worker.start(event, failure_id, run_key)
            log.info("pipeline enqueued")
    return {"run_key": run_key}

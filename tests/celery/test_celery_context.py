"""One real worker (prefork), every way to send a task: what hangs together, and what arrives how often."""

import re
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client import Metric

from support import items
from support.otlp_receiver import Receiver
from support.processes import Ended, checked_journal, families, free_port, get, total

pytestmark = pytest.mark.e2e

CONSUMER = 5
DEPTH = "tachograph_worker_queue_depth"
# By how each is sent: delay, eta, two of a chain, two of a chord and two of a group, by name; the chord's end; the
# retry's two attempts; the one that fails.
RUNS = {"add": 9, "total": 1, "flaky": 2, "broken": 1}


@dataclass(frozen=True)
class Evidence:
    said: dict[str, Any]
    worker: Ended
    receiver: Receiver
    journal: list[dict[str, Any]]
    scraped: dict[str, Metric]

    @property
    def runs(self) -> list[items.Span]:
        return [span for span in self.receiver.spans if span.kind == CONSUMER]

    @property
    def logs(self) -> list[items.Log]:
        return [log for log in self.receiver.logs if not log.is_copy]

    def written(self, scope: str) -> list[items.Log]:
        return [log for log in self.logs if log.scope == scope]

    def value(self, metric: str, **labels: str) -> float:
        """The highest value that any process pushed for these labels: there is one pool process."""
        points = [point for export in self.receiver.exports for point in export if point.metric == metric]
        found = [p.value for p in points if {f"tachograph.{key}": word for key, word in labels.items()} == p.attributes]
        assert found, f"no {metric} with {labels}; there are {[(p.attributes, p.value) for p in points]}"
        return max(found)


@pytest.fixture(scope="module")
def evidence(broker, start_app, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    at = tmp_path_factory.mktemp("celery")
    with Receiver() as receiver:
        variables = {
            "BROKER": f"{broker}/1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "TACHOGRAPH_CORRELATION_IDS": "delivery_id",
            "TACHOGRAPH_QUEUE_DEPTH_INTERVAL": "0.2",
            "TACHOGRAPH_DIR": str(at / "telemetry"),
        }
        port = free_port()
        command = ("celery", "-A", "order_tasks", "worker", "-c", "1", "-l", "INFO")
        worker = start_app(
            *command, at=at, OTEL_SERVICE_NAME="worker", OTEL_EXPORTER_PROMETHEUS_PORT=str(port), **variables
        )
        try:
            driver = start_app(
                sys.executable, "-m", "order_everything", at=at, OTEL_METRICS_EXPORTER="none", **variables
            ).ended()
            scraped = scrape(port)
            ended = worker.stop()
        finally:
            worker.kill()
    return Evidence(driver.said, ended, receiver, checked_journal(at / "telemetry" / "audit.jsonl"), families(scraped))


def scrape(port: int) -> str:
    """Ask the worker's /metrics until it knows the depth of a queue, which is read beside the work."""
    deadline = time.monotonic() + 20
    while DEPTH not in (text := get(f"http://127.0.0.1:{port}/metrics")[2]):
        assert time.monotonic() < deadline, text
        time.sleep(0.1)
    return text


class TestOneTrace:
    def test_the_tasks_did_what_they_do(self, evidence: Evidence) -> None:
        """
        Every result is the one that the tasks compute without telemetry.
        """
        assert evidence.said["results"] == {
            "delay": 2,
            "eta": 4,
            "chain": 9,
            "chord": 18,
            "group": [12, 14],
            "retry": 8,
            "send_task": 18,
        }
        assert evidence.said["failure"] == "ValueError"

    def test_every_run_has_one_span(self, evidence: Evidence) -> None:
        """
        Each execution of a task is one consumer span, however the task was sent.
        """
        names = Counter(span.name for span in evidence.runs)

        assert names == {f"run/order_tasks.{task}": count for task, count in RUNS.items()}

    def test_there_is_one_root(self, evidence: Evidence) -> None:
        """
        All spans are of one trace, all but one have a parent in it: chain, chord and retry too.
        """
        spans = evidence.receiver.spans
        known = {span.span_id for span in spans}

        assert len({span.trace_id for span in spans}) == 1
        assert [span.name for span in spans if not span.parent_id] == ["order"]
        assert [span.name for span in spans if span.parent_id and span.parent_id not in known] == []
        assert len(known) == len(spans)

    def test_sending_leaves_no_span_behind(self, evidence: Evidence) -> None:
        """
        After a task is sent, by a name that nobody knows too, the sender's own span is the current one.
        """
        assert evidence.said["current"] == "order"
        assert "apply_async/nobody.knows" in {span.name for span in evidence.receiver.spans}

    def test_every_span_has_the_ids(self, evidence: Evidence) -> None:
        """
        The request id and the application's own id are on every span of sender and worker.
        """
        assert {span.attributes.get("request_id") for span in evidence.receiver.spans} == {"req-1"}
        assert {span.attributes.get("delivery_id") for span in evidence.receiver.spans} == {"delivery-1"}

    def test_every_audit_record_has_them(self, evidence: Evidence) -> None:
        """
        An audit record of a task has the ids and the trace of the request that it was sent in.
        """
        records = [record for record in evidence.journal if record["event"] == "config.change"]

        assert len(records) == sum(RUNS.values())
        assert {record["trace_id"] for record in records} == {evidence.runs[0].trace_id}
        assert all(
            {"request_id": "req-1", "delivery_id": "delivery-1"}.items() <= record["correlation"].items()
            for record in records
        )


class TestLogs:
    @pytest.mark.parametrize("scope", ["orders.app", "orders.task"])
    def test_a_record_is_exported_once(self, evidence: Evidence, scope: str) -> None:
        """
        Loggers of the application and of tasks, both of which Celery takes over, export each record once.
        """
        assert len(evidence.written(scope)) == sum(RUNS.values())

    @pytest.mark.parametrize("scope", ["orders.app", "orders.task"])
    def test_a_record_has_span_and_ids(self, evidence: Evidence, scope: str) -> None:
        """
        A record says in which run of a task it was written, and for which request.
        """
        runs = {span.span_id for span in evidence.runs}

        assert {log.attributes.get("request_id") for log in evidence.written(scope)} == {"req-1"}
        assert {log.attributes.get("delivery_id") for log in evidence.written(scope)} == {"delivery-1"}
        assert {log.span_id for log in evidence.written(scope)} == runs

    def test_the_console_is_celerys(self, evidence: Evidence) -> None:
        """
        The worker's console has each record once, in Celery's own format.
        """
        shown = evidence.worker.stderr

        assert len(re.findall(r"WARNING/ForkPoolWorker-1\] app: ", shown)) == sum(RUNS.values())
        assert len(re.findall(r"WARNING/ForkPoolWorker-1\] .*: task: ", shown)) == sum(RUNS.values())

    def test_the_workers_own_loggers_are_exported(self, evidence: Evidence) -> None:
        """
        What Celery logs about a task is exported once: that it came, and how it ended, with the task's traceback.
        """
        received = evidence.written("celery.worker.strategy")
        ended = evidence.written("celery.app.trace")
        failed = [log for log in ended if log.attributes.get("exception.type") == "ValueError"]

        assert len(received) == len(ended) == sum(RUNS.values())
        assert len(failed) == 1

    def test_the_workers_own_records_have_the_ids(self, evidence: Evidence) -> None:
        """
        Also what the worker's main process logs about a message is of the message's trace and request.
        """
        records = [*evidence.written("celery.worker.strategy"), *evidence.written("celery.app.trace")]

        assert {log.trace_id for log in records} == {evidence.runs[0].trace_id}
        assert {log.attributes.get("request_id") for log in records} == {"req-1"}


class TestMetrics:
    def test_tasks_are_counted_by_what_became_of_them(self, evidence: Evidence) -> None:
        """
        A task counts as started and again at its end: success, failure or retry.
        """
        tasks = "tachograph.worker.tasks"

        assert evidence.value(tasks, task="order_tasks.add", status="started") == RUNS["add"]
        assert evidence.value(tasks, task="order_tasks.add", status="success") == RUNS["add"]
        assert evidence.value(tasks, task="order_tasks.flaky", status="retry") == 1
        assert evidence.value(tasks, task="order_tasks.flaky", status="success") == 1
        assert evidence.value(tasks, task="order_tasks.broken", status="failure") == 1

    def test_durations_are_counted_by_the_same_words(self, evidence: Evidence) -> None:
        """
        Each end of a task is one duration.
        """
        duration = "tachograph.worker.task.duration"

        assert evidence.value(duration, task="order_tasks.add", status="success") == RUNS["add"]
        assert evidence.value(duration, task="order_tasks.broken", status="failure") == 1

    def test_every_start_has_a_wait(self, evidence: Evidence) -> None:
        """
        Every message says when it was sent, that of a retry and of a chain's second task too.
        """
        assert evidence.value("tachograph.worker.queue.wait", queue="celery") == sum(RUNS.values())

    def test_nothing_is_worked_on_in_the_end(self, evidence: Evidence) -> None:
        """
        What was begun was ended: the tasks in progress come back to 0.
        """
        points = [
            point.value
            for export in evidence.receiver.exports
            for point in export
            if point.metric == "tachograph.worker.active"
        ]

        assert points
        assert points[-1] == 0

    def test_processes_are_the_worker_and_its_pool(self, evidence: Evidence) -> None:
        """
        A worker with one pool process is two processes.
        """
        assert total(evidence.scraped, "tachograph_worker_processes") == 2

    def test_the_depth_is_of_the_workers_queue_alone(self, evidence: Evidence) -> None:
        """
        The depth is known for the queue that the worker consumes from, which is empty; of others it says nothing.
        """
        depths = {sample.labels["tachograph_queue"]: sample.value for sample in evidence.scraped[DEPTH].samples}

        assert depths == {"celery": 0}

    def test_nobody_complains(self, evidence: Evidence) -> None:
        """
        Neither the worker nor a receiver of ours has a fault to tell.
        """
        assert evidence.worker.notices == []
        assert evidence.receiver.faults == []
        assert evidence.worker.returncode == 0

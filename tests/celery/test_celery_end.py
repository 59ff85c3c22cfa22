"""How pool processes end: what their tasks produced last is not lost."""

import signal
import sys
from collections import Counter
from dataclasses import dataclass

import pytest

from support.processes import Ended

pytestmark = pytest.mark.e2e

TASKS = 60

ENDS = {
    "recycled": (("--max-tasks-per-child", "7"), signal.SIGTERM),
    "warm": ((), signal.SIGTERM),
    "cold": ((), signal.SIGQUIT),
    "threads": (("--pool", "threads"), signal.SIGTERM),
    "solo": (("--pool", "solo"), signal.SIGTERM),
}


@dataclass(frozen=True)
class Evidence:
    worker: Ended


@pytest.fixture(scope="module", params=list(ENDS))
def evidence(request: pytest.FixtureRequest, broker, start_app, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    options, number = ENDS[request.param]
    database = 2 + list(ENDS).index(request.param)
    at, variables = tmp_path_factory.mktemp(request.param), {"BROKER": f"{broker}/{database}"}
    worker = start_app("celery", "-A", "order_tasks", "worker", "-c", "2", *options, at=at, **variables)
    try:
        sender = start_app(
            sys.executable, "-m", "order_many", str(TASKS), at=at / "sender", OTEL_SDK_DISABLED="true", **variables
        )
        assert sender.ended().returncode == 0
        return Evidence(worker.stop(number))
    finally:
        worker.kill()


def test_spans(evidence: Evidence) -> None:
    """
    Every task's span arrives, once.
    """
    assert Counter(span.name for span in evidence.worker.spans) == {"run/order_tasks.add": TASKS}


def test_log_records(evidence: Evidence) -> None:
    """
    Every log record of the application and of its tasks arrives, once.
    """
    scopes = Counter(log.scope for log in evidence.worker.own_logs)

    assert (scopes["orders.app"], scopes["orders.task"]) == (TASKS, TASKS)


def test_audit_records(evidence: Evidence) -> None:
    """
    Every audit record is in the journal, whose chain holds over all processes of the pool.
    """
    assert len(evidence.worker.audit) == TASKS


def test_the_worker_ends_as_it_would(evidence: Evidence) -> None:
    """
    The worker ends with the status of a worker, and nobody complains.
    """
    assert evidence.worker.returncode == 0
    assert evidence.worker.notices == []

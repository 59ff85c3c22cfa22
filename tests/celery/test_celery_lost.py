"""Tasks that nobody ends: the worker's main process says what became of them."""

import sys

import pytest

from support.processes import Ended, total

pytestmark = pytest.mark.e2e

TASKS = "tachograph_worker_tasks_total"


@pytest.fixture(scope="module")
def worker(broker, start_app, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    at, variables = tmp_path_factory.mktemp("lost"), {"BROKER": f"{broker}/9"}
    running = start_app("celery", "-A", "order_tasks", "worker", "-c", "1", at=at, **variables)
    try:
        sender = start_app(
            sys.executable, "-m", "order_lost", at=at / "sender", OTEL_SDK_DISABLED="true", **variables
        ).ended()
        assert sender.stdout.split() == ["WorkerLostError", "TaskRevokedError"]
        return running.stop()
    finally:
        running.kill()


def test_a_killed_task_is_a_failure(worker: Ended) -> None:
    """
    A pool process that was killed took its task with it, which counts as failed.
    """
    found = worker.families("unknown_service")

    assert total(found, TASKS, tachograph_task="order_tasks.die", tachograph_status="failure") == 1


def test_a_revoked_task_is_counted(worker: Ended) -> None:
    """
    A task that was revoked before it began counts as revoked.
    """
    found = worker.families("unknown_service")

    assert total(found, TASKS, tachograph_task="order_tasks.add", tachograph_status="revoked") == 1

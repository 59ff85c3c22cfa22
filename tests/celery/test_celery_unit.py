"""What is claimed of Celery and needs no worker: waits, depths, and messages that cannot be sent."""

import threading
import time
from types import SimpleNamespace

import pytest
from celery import Celery, signals
from celery.app import base
from celery.app.task import Context as TaskContext
from celery.exceptions import Ignore, Reject
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.celery import CeleryInstrumentor

from support.processes import free_port
from tachograph.integrations import celery as integration
from tachograph.integrations.celery_queues import QueueDepths
from tachograph.testing import capture

TASKS = "tachograph.worker.tasks"


class Thing(SimpleNamespace):
    """Something with attributes that Celery's signals take for a sender."""

    __hash__ = object.__hash__


def nothing() -> None:
    """The body of a task that does nothing."""


@pytest.fixture(scope="module")
def flushed() -> list[str]:
    return []


@pytest.fixture(scope="module", autouse=True)
def _installed(flushed):
    with capture():  # as in an application, where the meter provider is there before Celery is
        integration.install(signals, lambda: flushed.append("flush"), 60.0)
    integration.guard_publishing(base)
    instrumentor = CeleryInstrumentor()
    instrumentor.instrument()
    yield
    instrumentor.uninstrument()


@pytest.fixture
def app():
    made = Celery("unit", broker="memory://", backend="cache+memory://", set_as_current=True)
    made.conf.task_publish_retry = False
    return made


class TestWait:
    def test_is_from_sending_to_starting(self):
        """
        A task that was sent at 100 and starts at 103.5 has waited for 3.5 seconds.
        """
        assert integration.queue_wait("100.0", None, 103.5) == 3.5

    def test_begins_when_the_task_was_due(self):
        """
        The seconds that a task was told to wait are not seconds in a queue.
        """
        assert integration.queue_wait("100.0", "1970-01-01T00:01:50+00:00", 112.0) == 2.0

    def test_of_another_clock_is_not_negative(self):
        """
        A sender whose clock is ahead makes a wait of 0.
        """
        assert integration.queue_wait("100.0", None, 99.0) == 0.0

    @pytest.mark.parametrize("sent", [None, "", "soon", "nan"])
    def test_is_unknown_without_a_time(self, sent):
        """
        A message that does not say when it was sent, or says it wrongly, has no wait rather than one of 0.
        """
        assert integration.queue_wait(sent, None, 100.0) is None

    def test_is_unknown_with_a_wrong_time_to_wait_for(self):
        """
        A time that nobody can read is no time.
        """
        assert integration.queue_wait("100.0", "tomorrow", 100.0) is None


class TestTasks:
    def run(self, app, body, **options):
        task = app.task(body, **options)
        task.apply()
        return task.name

    def test_success_and_failure_are_counted(self, app, telemetry):
        """
        A task counts as started and as what it ended with, also where Celery runs it in place.
        """

        def fine():
            return 1

        def wrong():
            raise ValueError("as it must")

        fine, wrong = self.run(app, fine), self.run(app, wrong)

        assert telemetry.value(TASKS, task=fine, status="started") == 1
        assert telemetry.value(TASKS, task=fine, status="success") == 1
        assert telemetry.value(TASKS, task=wrong, status="failure") == 1
        assert telemetry.value("tachograph.worker.active") == 0
        assert telemetry.metrics("tachograph.worker.queue.wait") == ()

    def test_an_ignored_task_is_neither(self, app, telemetry):
        """
        A task that says "ignore me" is counted as something else, without a complaint.
        """

        def ignored():
            raise Ignore

        name = self.run(app, ignored)

        assert telemetry.value(TASKS, task=name, status="_OTHER") == 1

    def test_a_rejected_task_is_not_at_its_end(self, app, telemetry):
        """
        A rejected message is delivered again, or the worker reports the failure.
        """

        def rejected():
            raise Reject("not me")

        name = self.run(app, rejected)

        assert {point.attributes["tachograph.status"] for point in telemetry.metrics(TASKS)} == {"started"}
        assert telemetry.value(TASKS, task=name) == 1
        assert telemetry.value("tachograph.worker.active") == 0

    def test_an_end_without_a_start_is_nothing(self, app, telemetry):
        """
        A task that was running before anybody listened is not half counted.
        """
        task = app.task(nothing, name="unit.late")
        integration._end_task(task_id="unknown", task=task, state="SUCCESS")

        assert telemetry.metrics(TASKS) == ()

    def test_what_the_worker_reports_is_counted(self, app, telemetry):
        """
        A pool process that died took its task with it, and a revoked one never began: the worker says so.
        """
        task = app.task(nothing, name="unit.lost")
        signals.task_failure.send(sender=task, task_id="lost", exception=RuntimeError("lost"), einfo=None)
        signals.task_revoked.send(sender=task, request=None, terminated=True, signum=9, expired=False)

        assert telemetry.value(TASKS, task="unit.lost", status="failure") == 1
        assert telemetry.value(TASKS, task="unit.lost", status="revoked") == 1

    def test_a_wait_is_measured_by_the_name_of_the_queue(self, app, telemetry):
        """
        A message carries a routing key; the queue that it leads to is what the wait is counted for.
        """
        app.conf.task_queues = None
        app.amqp.queues.add("slow", routing_key="slow.tasks")
        task = app.task(nothing, name="unit.queued")
        for key in ("slow.tasks", "celery", "elsewhere"):
            task.request_stack.push(request_of(key))
            integration._start_task(task_id=key, task=task)
            task.request_stack.pop()
            integration._running.pop(key)

        waits = {point.attributes["tachograph.queue"] for point in telemetry.metrics("tachograph.worker.queue.wait")}
        assert waits == {"slow", "celery", "elsewhere"}


def request_of(key):
    headers = {integration.SENT_HEADER: repr(time.time())}
    return TaskContext({"id": key, "delivery_info": {"routing_key": key}, **headers})


class TestSending:
    def test_a_message_that_cannot_be_sent_ends_its_span(self, telemetry):
        """
        With the broker away, the sender gets Celery's error, its span has the error, and no span stays current.
        """
        app = Celery("away", broker=f"redis://127.0.0.1:{free_port()}", set_as_current=True)
        app.conf.broker_transport_options = {"max_retries": 0}
        task = app.task(nothing, name="unit.unsent")
        for _ in range(2):
            with pytest.raises(Exception, match="refused"):
                task.apply_async(retry=False)

        assert not trace.get_current_span().get_span_context().is_valid
        sent = [span for span in telemetry.spans if span.name == "apply_async/unit.unsent"]
        assert [span.status.status_code for span in sent] == [trace.StatusCode.ERROR] * 2
        assert [span.parent for span in sent] == [None, None]

    def test_an_error_before_anything_is_sent_is_celerys(self, app, telemetry):
        """
        A mistake of the caller raises what it raises without us.
        """
        with pytest.raises(TypeError, match="args"):
            app.send_task("unit.nothing", args=5)

        assert telemetry.spans == ()

    def test_the_message_says_when_it_was_sent(self, app):
        """
        Each message carries the time of its own sending, a retry's copied headers notwithstanding.
        """
        headers = {"id": "1", integration.SENT_HEADER: "0.0"}
        signals.before_task_publish.send(sender="unit.any", headers=headers, body=())
        signals.after_task_publish.send(sender="unit.any", headers=headers, body=())

        assert abs(float(headers[integration.SENT_HEADER]) - time.time()) < 60

    def test_the_first_protocol_has_no_headers_to_add_to(self):
        """
        A message of Celery's old protocol stays as it is.
        """
        headers: dict[str, str] = {}
        signals.before_task_publish.send(sender="unit.any", headers=headers, body={"id": "1"})

        assert headers == {}

    def test_guarding_twice_is_guarding_once(self):
        """
        A second installation does not wrap the sender again.
        """
        before = base.Celery.send_task
        integration.guard_publishing(base)

        assert base.Celery.send_task is before


class TestProcesses:
    def test_a_pool_process_flushes_at_its_end(self, flushed):
        """
        The end of a pool process is the last moment for what its tasks produced.
        """
        before = len(flushed)
        signals.worker_process_shutdown.send(sender="pool", pid=1, exitcode=0)

        assert len(flushed) == before + 1

    def test_a_pool_process_forgets_what_its_parent_ran(self, app):
        """
        Tasks that were running in the parent are not the child's to end.
        """
        integration._running["parents"] = integration._Running("unit.parent", 0.0, Context())
        signals.worker_process_init.send(sender="pool")

        assert integration._running == {}

    def test_a_worker_says_its_processes_and_depths(self, app, telemetry, monkeypatch):
        """
        A worker's own process speaks for its pool; a forked one is silent about both.
        """
        monkeypatch.setattr(integration, "_worker", None)
        controller = Thing(app=app, pool=SimpleNamespace(info={"processes": [7, 8]}))
        signals.worker_init.send(sender=controller)
        integration._worker.depths._depths, integration._worker.depths._read_at = {"celery": 4}, time.monotonic()

        assert telemetry.value("tachograph.worker.processes") == 3
        assert telemetry.value("tachograph.worker.queue.depth", queue="celery") == 4

        monkeypatch.setattr(integration._worker, "pid", -1)
        assert integration._observe_processes() == []
        assert integration._observe_depths() == []
        signals.worker_ready.send(sender=controller)
        signals.worker_shutting_down.send(sender="unit")
        assert "tachograph-queue-depth" not in {thread.name for thread in threading.enumerate()}

    def test_depths_are_read_while_the_worker_works(self, app, monkeypatch):
        """
        Reading begins when the worker is ready and ends when it shuts down, after which nothing is known.
        """
        monkeypatch.setattr(integration, "_worker", None)
        signals.worker_init.send(sender=Thing(app=app, pool=None))
        signals.worker_ready.send(sender="unit")
        (thread,) = (each for each in threading.enumerate() if each.name == "tachograph-queue-depth")
        signals.worker_shutting_down.send(sender="unit")
        thread.join(10)

        assert not thread.is_alive()
        assert integration._worker.depths.known() == {}
        assert integration._worker.processes() == 1


class TestMessages:
    def test_a_message_is_handled_in_its_own_context(self):
        """
        What the worker logs about a message is of the message's trace; afterwards the context is as before.
        """
        seen = []
        strategy = SimpleNamespace(
            default=lambda *_, **__: lambda _message, *_rest: seen.append(trace.get_current_span())
        )
        integration.accompany_messages(strategy)
        integration.accompany_messages(strategy)
        handle = strategy.default("task", "app", "consumer")
        carried = f"00-{7:032x}-{8:016x}-01"

        for headers in ({"traceparent": carried, "retries": 0}, {"id": "1"}, None):
            handle(SimpleNamespace(headers=headers), None, None)

        assert [span.get_span_context().trace_id for span in seen] == [7, 0, 0]
        assert not trace.get_current_span().get_span_context().is_valid


class TestDepths:
    def test_the_broker_is_asked(self, broker):
        """
        The depth is the number of tasks that wait; a queue of Redis in which none waits is empty, not unknown.
        """
        app = Celery("depths", broker=f"{broker}/14")
        depths = QueueDepths(app, 60.0)
        depths.read()
        empty = dict(depths.known())
        for _ in range(3):
            app.send_task("nobody.knows")
        depths.read()

        assert empty == {"celery": 0}
        assert depths.known() == {"celery": 3}

    def test_a_broker_that_is_away_leaves_the_depth_unknown(self, broker):
        """
        When the broker cannot be asked there is no depth, least of all 0.
        """
        app = Celery("depths", broker=f"{broker}/15")
        depths = QueueDepths(app, 60.0)
        depths.read()
        assert depths.known() == {"celery": 0}

        app.conf.broker_url = f"redis://127.0.0.1:{free_port()}"
        depths.read()
        assert depths.known() == {}

    def test_a_queue_that_another_broker_does_not_have_is_unknown(self, app):
        """
        Where empty queues exist, one that is not there has no depth.
        """
        depths = QueueDepths(app, 60.0)
        app.amqp.queues.select_add("never-declared")
        depths.read()

        assert "never-declared" not in depths.known()

    def test_a_reading_that_hangs_becomes_unknown(self, broker):
        """
        A depth that was read long ago is no longer known.
        """
        now = [1000.0]
        depths = QueueDepths(Celery("depths", broker=f"{broker}/15"), 5.0, clock=lambda: now[0])
        depths.read()
        assert depths.known() == {"celery": 0}

        now[0] += 18
        assert depths.known() == {}

    def test_reading_makes_no_spans(self, broker, telemetry):
        """
        Asking the broker every few seconds is not the application's doing, and leaves no span behind.
        """
        QueueDepths(Celery("depths", broker=f"{broker}/15"), 60.0).read()

        assert telemetry.spans == ()

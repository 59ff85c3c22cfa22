"""
Celery: what its workers do as metrics, and telemetry that outlives a pool process.

Upstream's instrumentation (extra `celery`) makes the spans and carries the context in the task's headers; this module
adds to it and mends it. Celery is never imported from here: `watch` waits until the application has.
"""

import functools
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from types import ModuleType
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.context import Context

from tachograph._otel import detach
from tachograph.catalogue import OTHER, labels, workers
from tachograph.contain import contain
from tachograph.integrations.celery_queues import QueueDepths
from tachograph.metrics import RECORDER, Measurement

SENT_HEADER = "tachograph-sent"
_TRACE_HEADER = "traceparent"

# Where upstream's instrumentation keeps the spans of a task's messages.
_UPSTREAM_SPANS = "__otel_task_span"

_STATUS = {"SUCCESS": "success", "FAILURE": "failure", "RETRY": "retry"}
# A rejected message is delivered again or reported by the worker as a failure.
_UNDECIDED = "REJECTED"

Values = Iterable[tuple[float, Mapping[str, object]]]


@dataclass
class Worker:
    """The worker that this process runs, if it runs one: its controller, and the depths of its queues."""

    controller: Any
    depths: QueueDepths
    pid: int = field(default_factory=os.getpid)

    @property
    def here(self) -> bool:
        """False in the worker's forked pool processes, which inherit this object."""
        return os.getpid() == self.pid

    def processes(self) -> int:
        """Return how many processes it has: itself and those of its pool."""
        info = getattr(self.controller.pool, "info", None) or {}
        return len({self.pid, *info.get("processes", ())})


@dataclass(frozen=True, slots=True)
class _Running:
    """A task that runs in this process; `started` is a reading of `time.perf_counter`."""

    name: str
    started: float
    context: Context


_ours: list[Callable[..., Any]] = []  # what stands in Celery's place by now
_worker: Worker | None = None
_running: dict[str, _Running] = {}
_publishing: ContextVar[tuple[str, str] | None] = ContextVar("tachograph-celery-publishing", default=None)


def watch(flush: Callable[[], object], depth_interval: float) -> None:
    """
    Observe Celery as soon as the application has imported it.

    `flush` is called when a pool process ends, and keeps its own time. The depths of a worker's queues are read every
    `depth_interval` seconds.
    """
    from wrapt import register_post_import_hook

    def observe(signals: ModuleType) -> None:
        with contain("celery.install"):
            install(signals, flush, depth_interval)

    def guard(base: ModuleType) -> None:
        with contain("celery.install"):
            guard_publishing(base)

    def accompany(strategy: ModuleType) -> None:
        with contain("celery.install"):
            accompany_messages(strategy)

    register_post_import_hook(observe, "celery.signals")
    register_post_import_hook(guard, "celery.app.base")
    register_post_import_hook(accompany, "celery.worker.strategy")


def install(signals: Any, flush: Callable[[], object], depth_interval: float) -> None:
    """Connect to Celery's signals; a second call changes nothing."""

    def init(sender: Any = None, **_rest: object) -> None:
        _adopt(sender, depth_interval)

    def end_process(**_rest: object) -> None:
        flush()

    receivers: dict[str, Callable[..., None]] = {
        "before_task_publish": _before_publish,
        "after_task_publish": _after_publish,
        "task_prerun": _start_task,
        "task_postrun": _end_task,
        "task_failure": _count_lost,
        "task_revoked": _count_revoked,
        "worker_init": init,
        "worker_ready": _read_depths,
        "worker_shutting_down": _stop_depths,
        "worker_process_init": _forget_parent,
        "worker_process_shutdown": end_process,
    }
    for name, receive in receivers.items():
        getattr(signals, name).connect(_contained(name, receive), weak=False, dispatch_uid=f"tachograph.{name}")
    RECORDER.observe(workers.WORKER_PROCESSES, _observe_processes)
    RECORDER.observe(workers.WORKER_QUEUE_DEPTH, _observe_depths)


def guard_publishing(base: Any) -> None:
    """
    End upstream's span of a message that could not be sent, with the error.

    Upstream ends it when the message was sent, and otherwise leaves it the current span for good.
    """
    original = base.Celery.send_task
    if original in _ours:
        return

    @functools.wraps(original)
    def send_task(*args: Any, **kwargs: Any) -> Any:
        try:
            return original(*args, **kwargs)
        except Exception as error:
            with contain("celery.publish"):
                _abandon(args[0], error)
            raise

    base.Celery.send_task = send_task
    _ours.append(send_task)


def accompany_messages(strategy: Any) -> None:
    """Give what a worker logs about a message it received the trace and the ids that the message carries."""
    original = strategy.default
    if original in _ours:
        return

    @functools.wraps(original)
    def default(*args: Any, **kwargs: Any) -> Callable[..., Any]:
        handle: Callable[..., Any] = original(*args, **kwargs)

        @functools.wraps(handle)
        def handle_message(message: Any, *rest: Any, **named: Any) -> Any:
            token = otel_context.attach(_context_of(message))
            try:
                return handle(message, *rest, **named)
            finally:
                detach(token)

        return handle_message

    strategy.default = default
    _ours.append(default)


def queue_wait(sent: object, eta: object, now: float) -> float | None:
    """
    Return the seconds from when a task could have started to `now`; None when its message does not say.

    `sent` and `now` are seconds of the Unix epoch, `eta` is a time of ISO 8601 that the task waited for on purpose.
    """
    try:
        due = float(str(sent))
        if isinstance(eta, str):
            due = max(due, datetime.fromisoformat(eta).timestamp())
    except (OverflowError, ValueError):
        return None
    return max(now - due, 0.0) if math.isfinite(due) else None


def _contained(name: str, receive: Callable[..., None]) -> Callable[..., None]:
    def receiver(**kwargs: Any) -> None:
        with contain(f"celery.{name}"):
            receive(**{key: value for key, value in kwargs.items() if key != "signal"})

    return receiver


def _context_of(message: Any) -> Context:
    """Return the context that a message carries; an id that it lacks is not made up here."""
    with contain("celery.receive"):
        headers = message.headers or {}
        if _TRACE_HEADER in headers:
            return propagate.extract({key: value for key, value in headers.items() if isinstance(value, str)})
    return otel_context.get_current()


def _before_publish(sender: object = None, headers: dict[str, Any] | None = None, **_rest: object) -> None:
    if headers:
        headers[SENT_HEADER] = repr(time.time())
        _publishing.set((str(sender), str(headers.get("id"))))


def _after_publish(**_rest: object) -> None:
    _publishing.set(None)


def _abandon(app: Any, error: Exception) -> None:
    message, name_and_id = None, _publishing.get()
    _publishing.set(None)
    if name_and_id is not None:
        name, task_id = name_and_id
        spans: dict[tuple[str, bool], Any] = getattr(app.tasks.get(name), _UPSTREAM_SPANS, {})
        message = spans.pop((task_id, True), None)
    if message is not None:
        message[1].__exit__(type(error), error, error.__traceback__)


def _start_task(task_id: str, task: Any, **_rest: object) -> None:
    context = otel_context.get_current()
    _running[task_id] = _Running(task.name, time.perf_counter(), context)
    RECORDER.record(
        (
            _count(task.name, "started"),
            Measurement(workers.WORKER_ACTIVE, 1),
            *_waited(task),
        ),
        context,
    )


def _end_task(task_id: str, task: Any, state: str | None = None, **_rest: object) -> None:
    run = _running.pop(task_id, None)
    if run is None:
        return

    seconds = time.perf_counter() - run.started
    context = _with_span(otel_context.get_current(), run.context)
    RECORDER.record((Measurement(workers.WORKER_ACTIVE, -1),), context)
    if state != _UNDECIDED:
        status = _STATUS.get(state or "", OTHER)
        duration = Measurement(workers.WORKER_TASK_DURATION, seconds, _labelled(task.name, status))
        RECORDER.record((_count(task.name, status), duration), context)


def _count_lost(sender: Any = None, task_id: str = "", **_rest: object) -> None:
    """Count what the worker itself reports of a pool process that died, or that it killed for its time limit."""
    if task_id not in _running:
        RECORDER.record((_count(sender.name, "failure"),))


def _count_revoked(sender: Any = None, **_rest: object) -> None:
    RECORDER.record((_count(sender.name, "revoked"),))


def _waited(task: Any) -> tuple[Measurement, ...]:
    request = task.request
    seconds = queue_wait(request.get(SENT_HEADER), request.get("eta"), time.time())
    if seconds is None or request.is_eager:
        return ()
    return (Measurement(workers.WORKER_QUEUE_WAIT, seconds, {labels.QUEUE.name: _queue_of(task)}),)


def _queue_of(task: Any) -> str | None:
    """Return the queue that a task came from: messages carry the routing key only, which is its name as a rule."""
    key = (task.request.delivery_info or {}).get("routing_key")
    queues = task.app.amqp.queues
    if key in queues:
        return str(key)
    return next((str(name) for name, queue in queues.items() if queue.routing_key == key), key)


def _with_span(*contexts: Context) -> Context:
    """Return the first of the contexts that has a span: receivers run before upstream's or after them."""
    found = (each for each in contexts if trace.get_current_span(each).get_span_context().is_valid)
    return next(found, contexts[0])


def _count(task: str, status: str) -> Measurement:
    return Measurement(workers.WORKER_TASKS, 1, _labelled(task, status))


def _labelled(task: str, status: str) -> dict[str, object]:
    return {labels.TASK.name: task, labels.TASK_STATUS.name: status}


def _adopt(controller: Any, depth_interval: float) -> None:
    global _worker
    _worker = Worker(controller, QueueDepths(controller.app, depth_interval))


def _read_depths(**_rest: object) -> None:
    if _worker is not None and _worker.here:
        _worker.depths.start()


def _stop_depths(**_rest: object) -> None:
    if _worker is not None and _worker.here:
        _worker.depths.stop()


def _forget_parent(**_rest: object) -> None:
    _running.clear()


def _observe_processes() -> Values:
    return [(_worker.processes(), {})] if _worker is not None and _worker.here else []


def _observe_depths() -> Values:
    if _worker is None or not _worker.here:
        return []
    return [(depth, {labels.QUEUE.name: queue}) for queue, depth in _worker.depths.known().items()]

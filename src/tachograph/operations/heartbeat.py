"""
A log line about each agent and plan in progress, every now and then: a run that is killed stays visible in the logs.

The thread starts with the first run and ends itself when it finds none open.
"""

import logging
import threading
import time
import weakref
from typing import TypeAlias

from opentelemetry import context as otel_context

from tachograph._otel import detach
from tachograph.contain import contain
from tachograph.fork import after_fork
from tachograph.operations.run import Run
from tachograph.settings import Settings

_LINES = 20  # runs that one beat tells about, the oldest first
_logger = logging.getLogger("heartbeat")  # loggers under `tachograph` are not exported

Open: TypeAlias = "weakref.WeakSet[Run]"


class Heartbeat:
    """Knows the runs in progress, and tells about them every `interval` seconds; 0: never."""

    def __init__(self, interval: float | None = None) -> None:
        self._interval = interval
        self._open: Open = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._watches_forks = False

    def configure(self, interval: float) -> None:
        """Beat every `interval` seconds from now on; 0: never."""
        with self._lock:
            self._interval = interval
            self._end.set()  # a thread of another interval ends; the next run starts one
            self._thread, self._end = None, threading.Event()

    def opened(self, run: Run) -> None:
        """Tell about `run` until it is closed, or nobody has it any more."""
        with self._lock:
            self._open.add(run)
            if self._thread is None and self._seconds() > 0:
                self._start()

    def closed(self, run: Run) -> None:
        """Tell about `run` no longer."""
        with self._lock:
            self._open.discard(run)

    def beat(self) -> bool:
        """Tell about the runs that are open; False when there are none."""
        with self._lock:
            runs = sorted(self._open, key=lambda run: run.started)
        for run in runs[:_LINES]:
            with contain("heartbeat"):
                _tell(run)
        if len(runs) > _LINES:
            _logger.info("%d more runs are in progress", len(runs) - _LINES)
        return bool(runs)

    def after_fork(self) -> None:
        """Know nothing in a forked child: the parent's runs are the parent's, and its thread did not come along."""
        self._lock = threading.Lock()
        self._open = weakref.WeakSet()
        self._thread, self._end = None, threading.Event()

    def _seconds(self) -> float:
        if self._interval is None:
            self._interval = Settings.from_environment().heartbeat
        return self._interval

    def _start(self) -> None:
        if not self._watches_forks:
            self._watches_forks = True
            after_fork(self.after_fork)
        self._thread = threading.Thread(
            target=self._run, args=(self._seconds(), self._end), name="tachograph-heartbeat", daemon=True
        )
        self._thread.start()

    def _run(self, seconds: float, end: threading.Event) -> None:
        while not end.wait(seconds):
            with contain("heartbeat"):
                self.beat()
            if self._is_over(end):
                return

    def _is_over(self, end: threading.Event) -> bool:
        with self._lock:
            if self._open or self._end is not end:
                return False
            self._thread = None
            return True


def _tell(run: Run) -> None:
    seconds = time.perf_counter() - run.started
    fields = {"operation": run.kind, "operation_name": run.name, "open_seconds": round(seconds, 3)}
    token = otel_context.attach(run.context)  # so that the line carries the run's ids
    try:
        _logger.info("%s %s has been in progress for %.0f s", run.kind, run.name, seconds, extra=fields)
    finally:
        detach(token)


HEARTBEAT = Heartbeat()
opened = HEARTBEAT.opened
closed = HEARTBEAT.closed
configure = HEARTBEAT.configure

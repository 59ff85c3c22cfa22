"""How many tasks wait in a Celery worker's queues, as the broker says; unknown when it does not."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation

# Seconds that the broker has for an answer; each driver has names of its own for them.
PATIENCE = 2.0
_TIMEOUTS: Mapping[str, Mapping[str, float]] = {
    "redis": {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE},
    "amqp": {"read_timeout": PATIENCE, "write_timeout": PATIENCE},
}
# A depth that is older than so many intervals is no longer known: the thread that reads them hangs.
_FRESH = 3

_NOT_FOUND = "404"


class QueueDepths:
    """
    Reads the depths of the queues that a worker consumes from, every `interval` seconds, in a daemon thread.

    Each reading is a connection of its own, made as Celery makes them from the application's configuration. Tasks that
    a worker has reserved already are no longer in the queue.
    """

    def __init__(self, app: Any, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._interval = interval
        self._clock = clock
        self._stopped = threading.Event()
        self._depths: Mapping[str, int] = {}
        self._read_at = 0.0

    def start(self) -> None:
        """Start reading."""
        threading.Thread(target=self._run, name="tachograph-queue-depth", daemon=True).start()

    def stop(self) -> None:
        """Stop reading; what was read becomes unknown."""
        self._stopped.set()
        self._depths = {}

    def known(self) -> Mapping[str, int]:
        """Return the depth of each queue; one that could not be read lately is missing."""
        if self._clock() - self._read_at > _FRESH * self._interval + PATIENCE:
            return {}
        return self._depths

    def read(self) -> None:
        """Ask the broker once; when it does not answer, nothing is known."""
        try:
            with suppress_instrumentation():
                depths = self._ask()
        except Exception:  # noqa: BLE001 - drivers raise what they like, and an unknown depth is an answer
            depths = {}
        self._depths, self._read_at = depths, self._clock()

    def _run(self) -> None:
        self.read()
        while not self._stopped.wait(self._interval):
            self.read()

    def _ask(self) -> dict[str, int]:
        with self._app.connection_for_read(connect_timeout=PATIENCE) as connection:
            connection.transport_options.update(_TIMEOUTS.get(connection.transport.driver_type, {}))
            answers = {queue: _depth(connection, queue) for queue in self._app.amqp.queues.consume_from}
        return {queue: depth for queue, depth in answers.items() if depth is not None}


def _depth(connection: Any, queue: str) -> int | None:
    """Return the number of messages ready in `queue`; None when the broker has no such queue."""
    channel = connection.channel()  # of its own: AMQP closes a channel that asked for a queue that is not there
    try:
        return int(channel.queue_declare(queue=queue, passive=True).message_count)
    except connection.channel_errors as error:
        is_missing = str(getattr(error, "reply_code", "")) == _NOT_FOUND
        # A queue of Redis is a list, and an empty list is not there.
        return 0 if is_missing and connection.transport.driver_type == "redis" else None

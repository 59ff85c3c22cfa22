"""What `configure` returns: the providers, and one deadline for flushing or ending all of them."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from opentelemetry import _logs, metrics, trace

from tachograph.contain import contain
from tachograph.settings import Settings

Step = Callable[[float], bool]


@dataclass(frozen=True)
class Part:
    """Something that holds telemetry: `flush` and `shutdown` take seconds and tell whether all of it left."""

    name: str
    flush: Step
    shutdown: Step


@dataclass
class Telemetry:
    """
    The telemetry of this process.

    `flush` and `shutdown` keep their time, whatever a backend does, and return False when something did not leave: a
    batch that a backend refused while they ran is such. A backend that answers with success and rejects records in its
    `partial_success` counts as one that took them, since upstream's exporters do not tell.
    """

    settings: Settings
    tracer_provider: trace.TracerProvider = field(default_factory=trace.NoOpTracerProvider)
    meter_provider: metrics.MeterProvider = field(default_factory=metrics.NoOpMeterProvider)
    logger_provider: _logs.LoggerProvider = field(default_factory=_logs.NoOpLoggerProvider)
    parts: list[Part] = field(default_factory=list)
    undo: list[Callable[[], None]] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event, repr=False)

    @classmethod
    def disabled(cls, settings: Settings | None = None) -> "Telemetry":
        """Telemetry that does nothing and has every method."""
        return cls(settings or Settings())

    @property
    def ended(self) -> bool:
        """True once `shutdown` was called."""
        return self._ended.is_set()

    def flush(self, timeout: float = 10.0) -> bool:
        """Send what is held, within `timeout` seconds; True when all of it left."""
        return _within(timeout, [(part.name, part.flush) for part in self.parts])

    def shutdown(self, timeout: float | None = None) -> bool:
        """
        Send what is held and end, within `timeout` seconds (default: TACHOGRAPH_SHUTDOWN_TIMEOUT).

        A second call does nothing and returns True.
        """
        if self._ended.is_set():
            return True
        self._ended.set()
        done = _within(
            self.settings.shutdown_timeout if timeout is None else timeout,
            [(part.name, part.shutdown) for part in self.parts],
        )
        for undo in reversed(self.undo):
            with contain("telemetry.undo"):
                undo()
        return done


def _within(timeout: float, steps: list[tuple[str, Step]]) -> bool:
    """Run all steps at once, each in a thread of its own: one that hangs costs neither the time nor the rest."""
    deadline = time.monotonic() + timeout
    results: dict[str, bool] = {}

    def run(name: str, step: Step) -> None:
        with contain(f"telemetry.{name}"):
            results[name] = step(max(deadline - time.monotonic(), 0.0))

    threads = [threading.Thread(target=run, args=step, name=f"tachograph-{step[0]}", daemon=True) for step in steps]
    for thread, step in zip(threads, steps, strict=True):
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending and starts no more threads
            run(*step)
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(deadline - time.monotonic(), 0.0))
    return all(results.get(name, False) for name, _ in steps)

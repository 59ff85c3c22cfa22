"""How a process ends: at exit and on SIGTERM, telemetry gets its seconds, and the exit code is what it would be."""

import atexit
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

from tachograph.contain import contain

Step = Callable[[], object]


def at_exit(end: Step, flush: Step) -> Callable[[], None]:
    """
    Call `end` when this process exits or dies of SIGTERM; returns how to undo that.

    Where the application has a handler for SIGTERM already, `flush` is called before it, since only that handler knows
    whether the process ends. A forked child inherits these hooks and flushes what is its own: the rest is its parent's.
    """
    owner = os.getpid()

    def contained(step: Step) -> Callable[[], None]:
        def run() -> None:
            with contain("exit"):
                (step if os.getpid() == owner else flush)()

        return run

    once = contained(end)
    atexit.register(once)
    restore = _on_sigterm(once, contained(flush))

    def undo() -> None:
        atexit.unregister(once)
        restore()

    return undo


def _on_sigterm(end: Callable[[], None], flush: Callable[[], None]) -> Callable[[], None]:
    """Run a step in a thread, since the main one may hold any lock; then die of SIGTERM, or leave it to the handler."""
    before = signal.getsignal(signal.SIGTERM)

    def handle(number: int, frame: FrameType | None) -> None:
        if callable(before):
            _in_thread(flush)
            before(number, frame)
            return
        _in_thread(end)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def restore() -> None:
        if _in_main_thread() and signal.getsignal(signal.SIGTERM) is handle:
            signal.signal(signal.SIGTERM, before)

    if _in_main_thread() and (before is signal.SIG_DFL or callable(before)):
        signal.signal(signal.SIGTERM, handle)
    return restore


def _in_thread(step: Callable[[], None]) -> None:
    thread = threading.Thread(target=step, name="tachograph-sigterm", daemon=True)
    thread.start()
    thread.join()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()

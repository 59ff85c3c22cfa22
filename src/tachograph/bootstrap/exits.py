"""How a process ends: at exit and on SIGTERM, telemetry gets its seconds, and the exit code is what it would be."""

import atexit
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

from tachograph.contain import contain


def at_exit(end: Callable[[], object]) -> Callable[[], None]:
    """Call `end` once when this process exits or is asked to by SIGTERM; returns how to undo that."""
    owner = os.getpid()

    def once() -> None:
        if os.getpid() == owner:  # a forked child inherits these hooks, not the telemetry behind them
            with contain("exit"):
                end()

    atexit.register(once)
    restore = _on_sigterm(once)

    def undo() -> None:
        atexit.unregister(once)
        restore()

    return undo


def _on_sigterm(end: Callable[[], None]) -> Callable[[], None]:
    """Handle SIGTERM where nobody else does: end in a thread, since the main one may hold any lock, then die of it."""

    def handle(number: int, _frame: FrameType | None) -> None:
        thread = threading.Thread(target=end, name="tachograph-sigterm", daemon=True)
        thread.start()
        thread.join()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def restore() -> None:
        if _in_main_thread() and signal.getsignal(signal.SIGTERM) is handle:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    if _in_main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, handle)
    return restore


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()

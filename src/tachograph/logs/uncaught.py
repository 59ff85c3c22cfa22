"""Exceptions that nobody caught, in the main thread and in others: exported once, shown as always."""

import logging
import sys
import threading
import time
from types import TracebackType

from tachograph.contain import contain
from tachograph.logs import pipeline
from tachograph.logs.fields import Entry, error_info
from tachograph.logs.patching import Undo, replace, together

LOGGER = "uncaught"


class Watch:
    """Whether uncaught exceptions are exported."""

    live = True

    def stop(self) -> None:
        """Leave them to the hooks that were there before."""
        self.live = False

    def report(self, level: int, error: BaseException | None, trace: TracebackType | None, thread: str) -> None:
        """Export one; the user's own interrupt is none."""
        if not self.live or error is None or isinstance(error, KeyboardInterrupt | SystemExit):
            return
        with contain("logs.uncaught"):
            pipeline.emit(_entry(level, error.with_traceback(trace), thread))


def install() -> Undo:
    """Export uncaught exceptions before the hooks in force show them."""
    watch = Watch()
    before, before_in_threads = sys.excepthook, threading.excepthook

    def in_main(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        watch.report(logging.CRITICAL, error, trace, threading.current_thread().name)
        before(kind, error, trace)

    def in_thread(args: threading.ExceptHookArgs) -> None:
        watch.report(logging.ERROR, args.exc_value, args.exc_traceback, _thread_name(args))
        before_in_threads(args)

    return together(
        [watch.stop, replace(sys, "excepthook", in_main), replace(threading, "excepthook", in_thread)],
    )


def _entry(level: int, error: BaseException, thread: str) -> Entry:
    return Entry(
        logger=LOGGER,
        level=level,
        level_name=logging.getLevelName(level),
        body="uncaught exception",
        nanos=time.time_ns(),
        fields={"thread.name": thread},
        error=error_info(error),
    )


def _thread_name(args: threading.ExceptHookArgs) -> str:
    return args.thread.name if args.thread is not None else "?"

"""
Threads and thread pools run in the context of whoever started them or submitted to them.

Thread subclasses that override `run` too, which upstream's instrumentation loses; both together attach the same context
twice, which is once.
"""

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from tachograph.contain import contain
from tachograph.correlation import within
from tachograph.integrations.installing import Once
from tachograph.logs.patching import Undo, replace, together

_once = Once()
# Threads of telemetry itself may start within a request, and serve all that come after.
_BACKGROUND = ("tachograph-", "Otel")


def install() -> Undo:
    """Let threads and thread pools carry the context; returns how to undo that, a second call changes nothing."""
    return _once.install(lambda: together([_hook_threads(), _hook_pools()]))


def _hook_threads() -> Undo:
    original = threading.Thread.start

    @functools.wraps(original)
    def start(self: threading.Thread) -> None:
        with contain("threads.start"):
            _carry(self)
        original(self)

    return replace(threading.Thread, "start", start)


def _hook_pools() -> Undo:
    original: Any = ThreadPoolExecutor.submit

    @functools.wraps(original)
    def submit(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        context = otel_context.get_current()
        with within(Context()):  # a worker thread that this starts serves others after us
            future: Future[Any] = original(self, functools.partial(run_in, context, fn), *args, **kwargs)
            return future

    return replace(ThreadPoolExecutor, "submit", submit)


def run_in(context: Context, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call `function` in `context`."""
    with within(context):
        return function(*args, **kwargs)


def _carry(thread: threading.Thread) -> None:
    """Replace `run` on the thread itself, whichever class defines it, until it runs."""
    context = otel_context.get_current()
    if not context or thread.ident is not None or thread.name.startswith(_BACKGROUND):
        return

    own = {"run": vars(thread)["run"]} if "run" in vars(thread) else {}

    def run() -> None:
        vars(thread).pop("run")
        vars(thread).update(own)
        run_in(context, thread.run)

    vars(thread)["run"] = run

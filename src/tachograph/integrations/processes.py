"""
Processes and process pools of the standard library carry the trace, the ids and the baggage, forked or spawned.

A forked process inherits its parent's context; a spawned one and every task of a pool get a carrier along, which needs
tachograph in the child, as `opentelemetry-instrument` provides it.
"""

import functools
import multiprocessing.pool
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.process import BaseProcess
from typing import Any

from opentelemetry import context as otel_context

from tachograph.contain import contain
from tachograph.correlation import carrier, of_starter, received, within
from tachograph.integrations.installing import Once
from tachograph.integrations.threads import run_in
from tachograph.logs.patching import Undo, replace, together

_CARRIER = "_tachograph_carrier"
_POOL_METHODS = ("apply_async", "map", "map_async", "starmap", "starmap_async", "imap", "imap_unordered")

_once = Once()
_started_here: "weakref.WeakSet[BaseProcess]" = weakref.WeakSet()


class Carrying:
    """A function that runs in the context of whoever submitted it to a process pool; as picklable as the function."""

    def __init__(self, function: Callable[..., Any], carrier: dict[str, str]) -> None:
        self.function = function
        self.carrier = carrier

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function in the context that the carrier holds."""
        with within(received(self.carrier)):
            return self.function(*args, **kwargs)


def install() -> Undo:
    """Let processes and process pools carry the context; returns how to undo that, a second call changes nothing."""
    return _once.install(_hook)


def _hook() -> Undo:
    pools = [_hook_pool(name) for name in _POOL_METHODS]
    return together([_hook_start(), *_hook_bootstrap(), _hook_executor(), *pools])


def _hook_start() -> Undo:
    original = BaseProcess.start

    @functools.wraps(original)
    def start(self: BaseProcess) -> None:
        with contain("processes.start"):
            _started_here.add(self)
            vars(self)[_CARRIER] = carrier()
        original(self)

    return replace(BaseProcess, "start", start)


def _hook_bootstrap() -> list[Undo]:
    """Let a child begin in the context that came along; the method that it begins with is not a public one."""
    original: Any = vars(BaseProcess).get("_bootstrap")
    if original is None:  # pragma: no cover - no Python so far
        return []

    @functools.wraps(original)
    def bootstrap(self: BaseProcess, *args: Any, **kwargs: Any) -> Any:
        given = vars(self).pop(_CARRIER, None)
        if not given or self in _started_here:  # forked: the whole context came along
            return original(self, *args, **kwargs)
        with within(of_starter(received(given))):
            return original(self, *args, **kwargs)

    return [replace(BaseProcess, "_bootstrap", bootstrap)]


def _hook_executor() -> Undo:
    original: Any = ProcessPoolExecutor.submit

    @functools.wraps(original)
    def submit(self: ProcessPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = original(self, _carrying(fn), *args, **kwargs)
        return future

    return replace(ProcessPoolExecutor, "submit", submit)


def _hook_pool(name: str) -> Undo:
    original: Any = vars(multiprocessing.pool.Pool)[name]

    @functools.wraps(original)
    def submit(self: Any, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if isinstance(self, multiprocessing.pool.ThreadPool):
            return original(self, functools.partial(run_in, otel_context.get_current(), func), *args, **kwargs)
        return original(self, _carrying(func), *args, **kwargs)

    return replace(multiprocessing.pool.Pool, name, submit)


def _carrying(function: Callable[..., Any]) -> Callable[..., Any]:
    carried = carrier()
    return Carrying(function, carried) if carried else function

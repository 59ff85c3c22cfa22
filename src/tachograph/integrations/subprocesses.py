"""
Programs that are started through `subprocess` find the trace, the ids and the baggage in their environment.

The names are those of the OpenTelemetry specification for environment variable carriers (`TRACEPARENT`, `TRACESTATE`,
`BAGGAGE`), and `TACHOGRAPH_REQUEST_ID`. asyncio's subprocesses go the same way.
"""

import functools
import inspect
import os
import subprocess
from collections.abc import Mapping
from typing import Any

from tachograph.contain import contain
from tachograph.correlation import carrier
from tachograph.integrations.environment import variables
from tachograph.integrations.installing import Once
from tachograph.logs.patching import Undo, replace
from tachograph.settings import process_environment

_once = Once()
_POSITION = [*inspect.signature(subprocess.Popen.__init__).parameters].index("env") - 1


def install() -> Undo:
    """Let programs inherit the context; returns how to undo that, a second call changes nothing."""
    return _once.install(_hook)


def _hook() -> Undo:
    original: Any = subprocess.Popen.__init__

    @functools.wraps(original)
    def popen(self: Any, *args: Any, **kwargs: Any) -> None:
        with contain("subprocesses.start"):
            args, kwargs = _with_context(args, kwargs)
        original(self, *args, **kwargs)

    return replace(subprocess.Popen, "__init__", popen)


def _with_context(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    carried = variables(carrier())
    if not carried:
        return args, kwargs
    positional = len(args) > _POSITION
    environment = _merged(args[_POSITION] if positional else kwargs.get("env"), carried)
    if positional:
        return (*args[:_POSITION], environment, *args[_POSITION + 1 :]), kwargs
    return args, {**kwargs, "env": environment}


def _merged(given: Mapping[Any, Any] | None, carried: Mapping[str, str]) -> dict[Any, Any]:
    """Return a copy of the environment for a child with `carried` in it, unless the caller has set one of the names."""
    inherited = process_environment()
    if given is None:
        return {**inherited, **carried}
    named = {os.fsdecode(key): os.fsdecode(value) for key, value in given.items()}
    if any(name in named and named[name] != inherited.get(name) for name in carried):
        return dict(given)
    rest = {key: value for key, value in given.items() if os.fsdecode(key) not in carried}
    return {**rest, **carried}

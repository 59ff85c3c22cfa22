"""
Flask: a streamed body is computed in its request's context, and only there.

Upstream ends the request's context when the view has returned, before the first chunk of a generator is computed.
"""

import functools
from collections.abc import Callable
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from tachograph.integrations.installing import Once, when_imported
from tachograph.integrations.wsgi import StreamedBody, is_streamed
from tachograph.logs.patching import Undo, replace

_once = Once()


def install() -> Undo:
    """Mend Flask once the application has imported it; returns how to undo that, a second call changes nothing."""
    return _once.install(lambda: when_imported("flask.app", _hook))


def _hook(app: Any) -> Undo:
    original = app.Flask.__call__

    @functools.wraps(original)
    def call(self: Any, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        contexts: list[Context] = []

        def start(*args: Any, **kwargs: Any) -> Any:
            contexts.append(otel_context.get_current())
            return start_response(*args, **kwargs)

        body = original(self, environ, start)
        if not contexts or not contexts[0] or not is_streamed(body, environ):
            return body
        return StreamedBody(body, contexts[0])

    return replace(app.Flask, "__call__", call)

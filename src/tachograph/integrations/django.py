"""Django: a streamed body is computed in the context of the view that made it, which upstream has ended by then."""

import functools
from collections.abc import AsyncIterator
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from tachograph.contain import contain
from tachograph.correlation import within
from tachograph.integrations.installing import Once, when_imported
from tachograph.integrations.wsgi import StreamedBody
from tachograph.logs.patching import Undo, replace

_once = Once()


def install() -> Undo:
    """Mend Django once the application has imported it; returns how to undo that, a second call changes nothing."""
    return _once.install(lambda: when_imported("django.http.response", _hook))


def _hook(response: Any) -> Undo:
    original = response.StreamingHttpResponse.__init__

    @functools.wraps(original)
    def init(self: Any, streaming_content: Any = (), *args: Any, **kwargs: Any) -> None:
        with contain("django.stream"):
            streaming_content = _in_context(streaming_content, otel_context.get_current())
        original(self, streaming_content, *args, **kwargs)

    return replace(response.StreamingHttpResponse, "__init__", init)


def _in_context(content: Any, context: Context) -> Any:
    if not context or isinstance(content, list | tuple) or hasattr(content, "read"):  # a file is sent as a file
        return content
    return AsyncStreamedBody(content, context) if hasattr(content, "__aiter__") else StreamedBody(content, context)


class AsyncStreamedBody:
    """An asynchronous body whose chunks are computed in `context`, whoever asks for them."""

    def __init__(self, body: Any, context: Context) -> None:
        self._chunks: AsyncIterator[Any] = aiter(body)
        self._context = context

    def __aiter__(self) -> "AsyncStreamedBody":
        return self

    async def __anext__(self) -> Any:
        with within(self._context):
            return await anext(self._chunks)

"""A server span, a request id and HTTP metrics for a WSGI application that no instrumentation knows."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from opentelemetry.context import Context

from tachograph.contain import contain
from tachograph.correlation import within
from tachograph.integrations import serving
from tachograph.integrations.responses import respond

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]


class TelemetryMiddleware:
    """
    Wrap `app` as the outermost middleware: `app = TelemetryMiddleware(app, route=...)`.

    `route(environ)` returns the template of a request's route, such as `/items/<id>`, or None; it is asked before the
    application runs and, when it knew nothing then, after. A streamed body is computed in the request's context. Where
    an instrumentation of the framework is active, or a second of these, requests pass through untouched.
    """

    def __init__(self, app: App, route: Callable[[Environ], str | None] | None = None) -> None:
        self.app = app
        self._route = route
        self._server = serving.Server()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        if serving.is_served() or serving.is_instrumented(self.app):
            return self.app(environ, start_response)

        request = serving.Request("", "", "http", "")
        with contain("wsgi.request"):
            request = _request(environ, serving.template(self._route, environ))
        exchange = self._server.open(request, environ, HeaderGetter())

        def end(error: BaseException | None) -> None:
            exchange.end(error, None if request.route else serving.template(self._route, environ))

        try:
            with within(exchange.context):
                body = self.app(environ, self._responding(exchange, start_response))
        except BaseException as error:
            end(error)
            raise
        if is_streamed(body, environ):
            return StreamedBody(body, exchange.context, end)
        end(None)
        return body

    def _responding(self, exchange: serving.Exchange, start_response: StartResponse) -> StartResponse:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            with contain("wsgi.respond"):
                exchange.status = int(status.split(" ", 1)[0])
                headers = list(headers)
                respond(headers, HEADERS, self._server.responses)
            return start_response(status, headers, *rest)

        return start


def is_streamed(body: Iterable[bytes], environ: Environ) -> bool:
    """Tell whether a body is computed while it is sent; servers treat lists and files in ways of their own."""
    wrapper = environ.get("wsgi.file_wrapper")
    return not isinstance(body, list | tuple) and not (isinstance(wrapper, type) and isinstance(body, wrapper))


class StreamedBody:
    """A body whose chunks are computed in `context`, whoever asks for them; `end` is called with what ended it."""

    def __init__(
        self, body: Iterable[bytes], context: Context, end: Callable[[BaseException | None], None] | None = None
    ) -> None:
        self._body = body
        self._context = context
        self._chunks: Iterator[bytes] | None = None
        self._error: BaseException | None = None
        self._end = end

    def __iter__(self) -> "StreamedBody":
        return self

    def __next__(self) -> bytes:
        with within(self._context):
            try:
                if self._chunks is None:
                    self._chunks = iter(self._body)
                return next(self._chunks)
            except StopIteration:
                raise
            except BaseException as error:
                self._error = error
                raise

    def close(self) -> None:
        """Close the body in its context, as a server must, and end."""
        try:
            with within(self._context):
                close = getattr(self._body, "close", None)
                if close is not None:
                    close()
        finally:
            if self._end is not None:
                self._end(self._error)


class HeaderGetter:
    """Reads headers of a WSGI environ."""

    def get(self, carrier: Environ, key: str) -> list[str] | None:
        """Return a header's value, None when there is none."""
        value = carrier.get("HTTP_" + key.upper().replace("-", "_"))
        return [value] if isinstance(value, str) else None

    def keys(self, carrier: Environ) -> list[str]:
        """Return the names of all headers."""
        return [key[5:].lower().replace("_", "-") for key in carrier if key.startswith("HTTP_")]


class HeaderSetter:
    """Appends a header to a list of WSGI headers."""

    def set(self, carrier: list[tuple[str, str]], key: str, value: str) -> None:
        """Append one header."""
        carrier.append((key, value))


HEADERS = HeaderSetter()


def _request(environ: Environ, route: str | None) -> serving.Request:
    port = str(environ.get("SERVER_PORT", ""))
    return serving.Request(
        method=str(environ.get("REQUEST_METHOD", "")),
        path=str(environ.get("PATH_INFO", "")),
        scheme=str(environ.get("wsgi.url_scheme", "http")),
        version=str(environ.get("SERVER_PROTOCOL", "")).removeprefix("HTTP/"),
        address=environ.get("SERVER_NAME"),
        port=int(port) if port.isdecimal() and port.isascii() else None,
        route=route,
    )

"""A server span, a request id and HTTP metrics for an ASGI application that no instrumentation knows."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tachograph.contain import contain
from tachograph.integrations import serving
from tachograph.integrations.responses import respond

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_FAILED = b"Internal Server Error"


class TelemetryMiddleware:
    """
    Wrap `app` as the outermost middleware: `app = TelemetryMiddleware(app, route=...)`.

    `route(scope)` returns the template of a request's route, such as `/items/{id}`, or None; it is asked before the
    application runs and, when it knew nothing then, after. Where an instrumentation of the framework is active, or a
    second of these, requests pass through untouched.
    """

    def __init__(self, app: App, route: Callable[[Scope], str | None] | None = None) -> None:
        self.app = app
        self._route = route
        self._server = serving.Server()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or serving.is_served() or serving.is_instrumented(self.app):
            await self.app(scope, receive, send)
            return

        request = serving.Request("", "", "http", "")
        with contain("asgi.request"):
            request = _request(scope, serving.template(self._route, scope))
        exchange = self._server.open(request, scope, HeaderGetter())
        token = exchange.enter()
        error: BaseException | None = None
        try:
            await self._serve(exchange, scope, receive, send)
        except BaseException as raised:
            error = raised
            raise
        finally:
            exchange.end(error, None if request.route else serving.template(self._route, scope))
            exchange.leave(token)

    async def _serve(self, exchange: serving.Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        async def responding(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                with contain("asgi.respond"):
                    exchange.status = message["status"]
                    with_ids = dict(message)
                    respond(with_ids, HEADERS, self._server.responses)
                    message = with_ids
            await send(message)

        try:
            await self.app(scope, receive, responding)
        except Exception:
            if exchange.status is None:  # the server would answer the same, without the request id
                await _fail(responding)
            raise


class HeaderGetter:
    """Reads headers of an ASGI scope; bytes that are no text are read as Latin-1."""

    def get(self, carrier: Scope, key: str) -> list[str] | None:
        """Return all values of a header, None when there is none."""
        wanted = key.lower().encode("latin-1", "replace")
        found = [value.decode("latin-1") for name, value in carrier.get("headers") or () if name.lower() == wanted]
        return found or None

    def keys(self, carrier: Scope) -> list[str]:
        """Return the names of all headers."""
        return [name.decode("latin-1").lower() for name, _ in carrier.get("headers") or ()]


class HeaderSetter:
    """Appends a header to an ASGI message."""

    def set(self, carrier: Scope, key: str, value: str) -> None:
        """Append one header."""
        carrier["headers"] = [*(carrier.get("headers") or ()), (key.lower().encode(), value.encode())]


HEADERS = HeaderSetter()


async def _fail(send: Send) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(_FAILED)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": _FAILED})


def _request(scope: Scope, route: str | None) -> serving.Request:
    address, port = scope.get("server") or (None, None)
    return serving.Request(
        method=str(scope.get("method", "")),
        path=str(scope.get("path", "")),
        scheme=str(scope.get("scheme", "http")),
        version=str(scope.get("http_version", "")),
        address=address,
        port=port if isinstance(port, int) else None,
        route=route,
    )

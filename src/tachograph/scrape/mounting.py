"""The endpoint on the host's own app, in front of its authentication, middleware and instrumentation."""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal

from tachograph.errors import ConfigurationError
from tachograph.scrape.gateways import Environ, Receive, Scope, Send, StartResponse, asgi_app, wsgi_app

Kind = Literal["asgi", "wsgi"]

# How many arguments an app of each kind is called with.
_KINDS: dict[int, Kind] = {3: "asgi", 2: "wsgi"}


def mount(app: Any, path: str = "/metrics", *, kind: Kind | None = None) -> Any:
    """
    Answer `path` with the metrics before anything of `app` sees the request, and return the app to serve.

    Flask (an object with `wsgi_app`) and Starlette or FastAPI (one with `build_middleware_stack`) are changed in
    place, so that what already refers to them is covered, as is middleware that is added later. Any other app is
    wrapped and only the returned one answers. It is taken for ASGI if it, or its `__call__`, is a coroutine function
    or takes three arguments, and for WSGI if it takes two; `kind` says it where that is wrong. `ConfigurationError`
    tells a path without its `/`, and an app that is neither.
    """
    if not path.startswith("/"):
        raise ConfigurationError(f"the path is {path!r}; write it with a leading slash, like '/metrics'")
    path = path.rstrip("/") or "/"

    if kind is None and hasattr(app, "wsgi_app"):
        app.wsgi_app = _Wsgi(app.wsgi_app, path)
        return app
    if kind is None and hasattr(app, "build_middleware_stack"):
        return _in_front(app, path)
    return (_Asgi if (kind or _kind(app)) == "asgi" else _Wsgi)(app, path)


class _Asgi:
    """An ASGI app behind the metrics' path."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], path: str) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (asgi_app if _is_asked(scope, self._path) else self._app)(scope, receive, send)


class _Wsgi:
    """A WSGI app behind the metrics' path, which is below `SCRIPT_NAME`, as the app's own paths are."""

    def __init__(self, app: Callable[[Environ, StartResponse], Iterable[bytes]], path: str) -> None:
        self._app = app
        self._path = path

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        asked = _same(environ.get("PATH_INFO", ""), self._path)
        return (wsgi_app if asked else self._app)(environ, start_response)


def _in_front(app: Any, path: str) -> Any:
    """
    Give `app` a class of its own of which `__call__` looks at the path first.

    Only the class is outermost for good: the app's middleware stack is built late, and instrumentation wraps it.
    """
    host = type(app)

    async def __call__(self: Any, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: N807
        if _is_asked(scope, path):
            await asgi_app(scope, receive, send)
        else:
            await host.__call__(self, scope, receive, send)

    names = {"__call__": __call__, "__module__": host.__module__, "__doc__": host.__doc__, "__slots__": ()}
    app.__class__ = type(host.__name__, (host,), names)
    return app


def _is_asked(scope: Scope, path: str) -> bool:
    if scope["type"] != "http":
        return False
    asked = scope["path"]
    # A server may or may not leave the root path in front of the path.
    return _same(asked, path) or _same(asked.removeprefix(scope.get("root_path", "").rstrip("/")), path)


def _same(asked: str, path: str) -> bool:
    return (asked.rstrip("/") or "/") == path


def _kind(app: Any) -> Kind:
    if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(getattr(app, "__call__", None)):  # noqa: B004
        return "asgi"
    kind = _KINDS.get(_arguments(app))
    if kind is None:
        raise ConfigurationError(
            f"{type(app).__name__} looks like neither an ASGI nor a WSGI app; say which with kind='asgi' or kind='wsgi'"
        )
    return kind


def _arguments(app: Any) -> int:
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return 0
    return sum(1 for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD))

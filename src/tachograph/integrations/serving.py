"""
What serving an HTTP request means in semantic conventions (stable HTTP, 1.23 and later), for ASGI and WSGI alike.

Upstream's middlewares name spans after raw paths, measure before a streamed body is sent and, for WSGI, write nothing
onto responses; so that these helpers need no extra either, they are built on the API alone.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, Meter, UpDownCounter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from tachograph import correlation
from tachograph._otel import detach
from tachograph.catalogue import http
from tachograph.contain import contain
from tachograph.propagation import RequestIdPropagator, ResponsePropagator
from tachograph.version import __version__

SCOPE = "tachograph.http"

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))
_ROUTE_LENGTH = 256
_DEPTH = 20
_VERSIONS = frozenset(("0.9", "1.0", "1.1", "2", "3"))


@dataclass(frozen=True, slots=True)
class Request:
    """A request as its server knows it; `method` may be anything that a client sent."""

    method: str
    path: str
    scheme: str
    version: str
    address: str | None = None
    port: int | None = None
    route: str | None = None


class Server:
    """Opens an exchange for each request: its span, its ids, its measurements."""

    def __init__(self) -> None:
        self.responses = ResponsePropagator()
        self._request_ids = RequestIdPropagator()
        self._instruments: tuple[Meter, Histogram, UpDownCounter] | None = None

    def open(self, request: Request, carrier: Any, getter: Any) -> "Exchange":
        """Start serving `request`, in the context that its headers carry and in no other."""
        exchange = Exchange(request)
        with contain("serving.open"):
            context = propagate.extract(carrier, Context(), getter)
            if correlation.REQUEST_ID not in correlation.ids(context):
                context = self._request_ids.extract(carrier, context, getter)
            exchange.start(context, *self._duration_and_active())
        return exchange

    def _duration_and_active(self) -> tuple[Histogram, UpDownCounter]:
        if self._instruments is None:
            meter = metrics.get_meter(SCOPE, __version__)
            took, at_work = http.SERVER_DURATION, http.SERVER_ACTIVE
            duration = meter.create_histogram(
                took.name, took.unit, took.description, explicit_bucket_boundaries_advisory=took.bounds
            )
            active = meter.create_up_down_counter(at_work.name, at_work.unit, at_work.description)
            self._instruments = meter, duration, active
        return self._instruments[1:]


@dataclass
class Exchange:
    """A request being served; `context` is what the application runs in."""

    request: Request
    context: Context = field(default_factory=Context)
    status: int | None = None
    _span: Span = trace.INVALID_SPAN
    _started: float = 0.0
    _measures: tuple[Histogram, UpDownCounter] | None = None
    _ended: bool = False

    def start(self, context: Context, duration: Histogram, active: UpDownCounter) -> None:
        """Start the span and count the request as active."""
        tracer = trace.get_tracer(SCOPE, __version__)
        self._span = tracer.start_span(_name(self.request), context, SpanKind.SERVER, _span_attributes(self.request))
        self.context = trace.set_span_in_context(self._span, context)
        self._started = time.perf_counter()
        self._measures = duration, active
        active.add(1, _active_labels(self.request), self.context)

    def enter(self) -> object:
        """Make `context` the current one; returns what `leave` takes."""
        return otel_context.attach(self.context)

    @staticmethod
    def leave(token: Any) -> None:
        """Restore the context that was current before."""
        detach(token)

    def end(self, error: BaseException | None = None, route: str | None = None) -> None:
        """End the span and measure, once; `route` is a template that became known while serving."""
        if self._ended:
            return
        self._ended = True
        with contain("serving.end"):
            self._end(error, self.request.route or _template(route))

    def _end(self, error: BaseException | None, route: str | None) -> None:
        ended = _ended_labels(self.request, self.status, route, error)
        if self._measures is not None:
            duration, active = self._measures
            duration.record(time.perf_counter() - self._started, ended, self.context)
            active.add(-1, _active_labels(self.request), self.context)
        if route is not None:
            self._span.update_name(f"{_word(self.request.method)} {route}")
        self._span.set_attributes({key: ended[key] for key in _ON_SPAN if key in ended})
        if error is not None:
            self._span.record_exception(error)
        if "error.type" in ended:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


_ON_SPAN = ("http.response.status_code", "http.route", "error.type")


def is_served() -> bool:
    """Tell whether a server's span is current already: of a framework's instrumentation, or of another helper."""
    span = trace.get_current_span()
    if span.is_recording():
        return getattr(span, "kind", None) is SpanKind.SERVER
    found = span.get_span_context()
    return found.is_valid and not found.is_remote


def is_instrumented(app: object) -> bool:
    """Tell whether upstream instruments `app`, or what it wraps."""
    with contain("serving.instrumented"):
        return any(_is_upstreams(each) for each in _chain(app))
    return False


def _chain(app: object) -> Iterator[object]:
    """Yield `app` and what it wraps, as far as middlewares tell."""
    for _ in range(_DEPTH):
        if app is None:
            return
        yield app
        inner = getattr(app, "app", None) or getattr(app, "wsgi_app", None) or getattr(app, "__self__", None)
        app = None if inner is app else inner


def _is_upstreams(app: object) -> bool:
    if getattr(app, "_is_instrumented_by_opentelemetry", False) is True:
        return True
    module = str(getattr(app, "__module__", ""))
    if module.startswith("django."):
        return _django_is_instrumented()
    return module.startswith("opentelemetry.instrumentation.")


def _django_is_instrumented() -> bool:
    """Tell it from the instrumentation itself: its middleware stands in Django's settings, not around the handler."""
    loaded: Any = sys.modules.get("opentelemetry.instrumentation.django")
    return loaded is not None and bool(loaded.DjangoInstrumentor().is_instrumented_by_opentelemetry)


def template(route: Any, subject: Any) -> str | None:
    """Ask the application's `route` for the template of a request; what is no template counts as none."""
    with contain("serving.route"):
        return _template(route(subject)) if route is not None else None
    return None


def _template(route: object) -> str | None:
    return route[:_ROUTE_LENGTH] if isinstance(route, str) and route else None


def _word(method: str) -> str:
    return method if method in _METHODS else "HTTP"


def _name(request: Request) -> str:
    return f"{_word(request.method)} {request.route}" if request.route else _word(request.method)


def _active_labels(request: Request) -> dict[str, str]:
    method = request.method if request.method in _METHODS else "_OTHER"
    return {"http.request.method": method, "url.scheme": request.scheme if request.scheme == "https" else "http"}


def _ended_labels(
    request: Request, status: int | None, route: str | None, error: BaseException | None
) -> dict[str, str | int]:
    found: dict[str, str | int] = dict(_active_labels(request))
    if request.version in _VERSIONS:
        found["network.protocol.version"] = request.version
    if status is not None:
        found["http.response.status_code"] = status
    if route is not None:
        found["http.route"] = route
    if error is not None:
        found["error.type"] = type(error).__qualname__
    elif status is not None and status >= 500:
        found["error.type"] = str(status)
    return found


def _span_attributes(request: Request) -> Mapping[str, str | int]:
    known = {
        **_active_labels(request),
        "url.path": request.path,
        "server.address": request.address,
        "server.port": request.port,
        "http.route": request.route,
        "network.protocol.version": request.version or None,
    }
    if request.method not in _METHODS:
        known["http.request.method_original"] = request.method[:64]
    return {key: value for key, value in known.items() if value is not None}

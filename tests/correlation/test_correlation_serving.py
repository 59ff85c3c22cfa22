"""The helpers for applications that no instrumentation knows: ASGI and WSGI."""

import asyncio
import io
import sys
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.instrumentation import propagators
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as UpstreamAsgi
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as UpstreamWsgi
from opentelemetry.trace import SpanKind

from tachograph import contain, correlation
from tachograph.integrations import asgi, responses, wsgi

TRACEPARENT = "00-11111111111111111111111111111111-2222222222222222-01"
DURATION, ACTIVE = "http.server.request.duration", "http.server.active_requests"


def seen() -> dict[str, Any]:
    span = trace.get_current_span()
    return {"ids": dict(correlation.ids()), "trace_id": f"{span.get_span_context().trace_id:032x}"}


def get_asgi(app: Any, path: str = "/items/7", /, method: str = "GET", **headers: str) -> tuple[int, list[Any], bytes]:
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http", "method": method, "path": path, "http_version": "1.1", "scheme": "http", "query_string": b"",
        "headers": [(name.lower().replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 5000),
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        sent.append(dict(message))

    asyncio.run(app(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], [(bytes(k), bytes(v)) for k, v in sent[0]["headers"]], body


def get_wsgi(app: Any, path: str = "/items/7", /, method: str = "GET", **headers: str) -> tuple[int, list[Any], bytes]:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": "", "SERVER_NAME": "localhost",
        "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO(), "wsgi.multithread": False, "wsgi.multiprocess": False,
        "wsgi.run_once": False, **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
    }  # fmt: skip
    started: list[Any] = []
    result = app(environ, lambda status, headers, exc_info=None: started.append((status, list(headers))))
    try:
        body = b"".join(result)
    finally:
        if hasattr(result, "close"):
            result.close()
    status, given = started[-1]
    return int(status.split()[0]), [(k.lower().encode(), v.encode()) for k, v in given], body


class AsgiApp:
    """Answers 200 with what it sees, 404 for /nowhere, raises for /fail; streams in two parts."""

    def __init__(self, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self.headers = headers
        self.seen: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(seen())
        if scope["path"] == "/fail":
            raise LookupError("as asked")
        status = 404 if scope["path"] == "/nowhere" else 200
        await send({"type": "http.response.start", "status": status, "headers": self.headers})
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        self.seen.append(seen())
        await send({"type": "http.response.body", "body": b"two"})
        if scope["path"] == "/late":
            raise LookupError("too late")


class WsgiApp:
    """The same as WSGI; its body is a generator."""

    def __init__(self, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self.headers = [(name.decode(), value.decode()) for name, value in headers]
        self.seen: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.seen.append(seen())
        if environ["PATH_INFO"] == "/fail":
            raise LookupError("as asked")
        status = "404 Not Found" if environ["PATH_INFO"] == "/nowhere" else "200 OK"
        start_response(status, [("Content-Type", "text/plain"), *self.headers])
        return self.chunks(environ["PATH_INFO"])

    def chunks(self, path: str) -> Iterable[bytes]:
        yield b"one "
        self.seen.append(seen())
        yield b"two"
        if path == "/late":
            raise LookupError("too late")


def asgi_route(scope: Any) -> str | None:
    return "/items/{id}" if scope["path"].startswith("/items/") else None


def wsgi_route(environ: Any) -> str | None:
    return "/items/{id}" if environ["PATH_INFO"].startswith("/items/") else None


class Kind:
    """One of the two helpers, with what drives it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.wrap: Any = asgi.TelemetryMiddleware if name == "asgi" else wsgi.TelemetryMiddleware
        self.app: Any = AsgiApp if name == "asgi" else WsgiApp
        self.get: Any = get_asgi if name == "asgi" else get_wsgi
        self.route: Any = asgi_route if name == "asgi" else wsgi_route
        self.upstream: Any = UpstreamAsgi if name == "asgi" else UpstreamWsgi


@pytest.fixture(params=["asgi", "wsgi"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return Kind(request.param)


def ids_of(headers: list[tuple[bytes, bytes]]) -> list[str]:
    return [value.decode() for name, value in headers if name == b"x-request-id"]


class TestRequest:
    def test_a_request_is_a_server_span_with_ids(self, kind: Kind, telemetry, propagation) -> None:
        """
        The application and its streamed body run in a server span of the caller's trace, with the caller's ids.
        """
        app = kind.app()
        status, headers, body = kind.get(
            kind.wrap(app, kind.route), X_Request_ID="r-1", Traceparent=TRACEPARENT, Baggage="plan_id=p,tenant=7"
        )
        span = telemetry.span("GET /items/{id}")

        assert (status, body, ids_of(headers)) == (200, b"one two", ["r-1"])
        assert app.seen == [{"ids": {"request_id": "r-1", "plan_id": "p"}, "trace_id": "1" * 32}] * 2
        assert (span.kind, span.parent.span_id) == (SpanKind.SERVER, 0x2222222222222222)
        assert {
            "http.request.method": "GET", "http.route": "/items/{id}", "http.response.status_code": 200,
            "url.scheme": "http", "url.path": "/items/7", "request_id": "r-1", "network.protocol.version": "1.1",
            "server.port": 80,
        }.items() <= span.attributes.items()  # fmt: skip

    def test_measurements_follow_the_conventions(self, kind: Kind, telemetry, propagation) -> None:
        """
        Durations by method, scheme, template, status and version; active requests are back at none.
        """
        app = kind.wrap(kind.app(), kind.route)
        for path in ("/items/1", "/items/2", "/nowhere"):
            kind.get(app, path)
        common = {"http.request.method": "GET", "url.scheme": "http", "network.protocol.version": "1.1"}
        points = {(point.value, tuple(sorted(point.attributes.items()))) for point in telemetry.metrics(DURATION)}

        assert points == {
            (2, tuple(sorted({**common, "http.route": "/items/{id}", "http.response.status_code": 200}.items()))),
            (1, tuple(sorted({**common, "http.response.status_code": 404}.items()))),
        }
        assert [(point.value, dict(point.attributes)) for point in telemetry.metrics(ACTIVE)] == [
            (0, {"http.request.method": "GET", "url.scheme": "http"})
        ]

    def test_without_propagators_there_is_still_a_request_id(self, kind: Kind, telemetry) -> None:
        """
        Also where nothing is configured a request has an id: the caller's, or a new one.
        """
        app = kind.app()
        wrapped = kind.wrap(app)
        answered = [ids_of(kind.get(wrapped, X_Request_ID="r-1")[1]), ids_of(kind.get(wrapped)[1])]

        assert answered[0] == ["r-1"]
        assert [len(each) for each in answered[1]] == [32]
        assert [each["ids"]["request_id"] for each in app.seen] == [*answered[0] * 2, *answered[1] * 2]

    def test_an_unsafe_id_is_replaced(self, kind: Kind, telemetry) -> None:
        """
        An id that could forge a log line is never echoed.
        """
        (answered,) = ids_of(kind.get(kind.wrap(kind.app()), X_Request_ID="x level=error")[1])

        assert len(answered) == 32

    def test_what_was_in_force_is_restored(self, kind: Kind, telemetry, propagation) -> None:
        """
        A request sees nothing of the ids around the server's loop, which are in force again after it.
        """
        app = kind.app()
        with correlation.bind(plan_id="of-the-server"):
            kind.get(kind.wrap(app), X_Request_ID="r")
            after = dict(correlation.ids())

        assert app.seen[0]["ids"] == {"request_id": "r"}
        assert after == {"plan_id": "of-the-server"}

    def test_a_header_of_the_app_stays_alone(self, kind: Kind, telemetry) -> None:
        """
        An application that sets the header itself is not contradicted.
        """
        app = kind.app(headers=((b"X-Request-Id", b"own"),))
        headers = kind.get(kind.wrap(app), X_Request_ID="r")[1]

        assert [value for name, value in headers if name.lower() == b"x-request-id"] == [b"own"]

    def test_the_hosts_response_propagator_is_asked_too(self, kind: Kind, telemetry, installed) -> None:
        """
        What the host writes onto responses is written here as well, the id beside it once.
        """
        propagators.set_global_response_propagator(propagators.TraceResponsePropagator())
        installed(responses.install("X-Request-ID"))
        headers = kind.get(kind.wrap(kind.app()), X_Request_ID="r")[1]

        assert ids_of(headers) == ["r"]
        assert [name for name, _ in headers].count(b"traceresponse") == 1

    def test_an_odd_method_is_no_label(self, kind: Kind, telemetry) -> None:
        """
        A method that nobody knows becomes `_OTHER`, its span HTTP; the word itself stays on the span, cut.
        """
        kind.get(kind.wrap(kind.app(), kind.route), method="BREW" * 40)
        span = telemetry.span("HTTP /items/{id}")

        assert span.attributes["http.request.method"] == "_OTHER"
        assert span.attributes["http.request.method_original"] == ("BREW" * 40)[:64]
        assert telemetry.metrics(DURATION)[0].attributes["http.request.method"] == "_OTHER"


class TestFailure:
    def test_an_exception_goes_on_and_is_recorded(self, kind: Kind, telemetry) -> None:
        """
        What the application raises reaches the server; span and duration name its type.
        """
        with pytest.raises(LookupError, match="as asked"):
            kind.get(kind.wrap(kind.app()), "/fail")
        span = telemetry.span("GET")

        assert span.attributes["error.type"] == "LookupError"
        assert [event.name for event in span.events] == ["exception"]
        assert telemetry.metrics(DURATION)[0].attributes["error.type"] == "LookupError"
        assert telemetry.value(ACTIVE) == 0
        assert dict(correlation.ids()) == {}

    def test_a_body_that_fails_is_recorded(self, kind: Kind, telemetry) -> None:
        """
        An exception after the response has begun is on the span, with the status that was sent.
        """
        with pytest.raises(LookupError, match="too late"):
            kind.get(kind.wrap(kind.app()), "/late")
        span = telemetry.span("GET")

        assert span.attributes["error.type"] == "LookupError"
        assert span.attributes["http.response.status_code"] == 200

    def test_an_asgi_error_page_carries_the_id(self, telemetry) -> None:
        """
        Where the server would write a bare 500 page, the same page carries the request id.
        """
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        async def main() -> None:
            scope = {"type": "http", "path": "/fail", "method": "GET", "headers": [(b"x-request-id", b"r-9")]}
            await asgi.TelemetryMiddleware(AsgiApp())(scope, None, send)

        with pytest.raises(LookupError):
            asyncio.run(main())

        assert sent[0]["status"] == 500
        assert ids_of(sent[0]["headers"]) == ["r-9"]
        assert sent[1]["body"] == b"Internal Server Error"
        assert telemetry.span("GET").attributes["http.response.status_code"] == 500

    def test_a_route_that_raises_is_none(self, kind: Kind, telemetry, capsys: pytest.CaptureFixture[str]) -> None:
        """
        A fault in the route function is counted and costs the template, not the request.
        """
        status, _, _ = kind.get(kind.wrap(kind.app(), lambda _subject: 1 / 0))

        assert status == 200
        assert "http.route" not in telemetry.span("GET").attributes
        assert contain._faults.pop("serving.route") == 2

    @pytest.mark.parametrize("route", ["", 7, None, b"/x"])
    def test_what_is_no_template_counts_as_none(self, kind: Kind, telemetry, route: object) -> None:
        """
        Only a text can be a route.
        """
        kind.get(kind.wrap(kind.app(), lambda _subject: route))

        assert "http.route" not in telemetry.span("GET").attributes

    def test_a_template_may_be_known_later(self, kind: Kind, telemetry) -> None:
        """
        A router that decides inside the application names the span and the duration all the same.
        """
        answers = iter([None, "/late/{id}"])
        kind.get(kind.wrap(kind.app(), lambda _subject: next(answers)))

        assert telemetry.span("GET /late/{id}").attributes["http.route"] == "/late/{id}"
        assert telemetry.metrics(DURATION)[0].attributes["http.route"] == "/late/{id}"

    def test_a_subject_without_anything_will_do(self, telemetry) -> None:
        """
        A scope or an environ with nothing but what must be there, or with nonsense, is served.
        """

        async def nothing(scope: Any, receive: Any, send: Any) -> None:
            return

        asyncio.run(asgi.TelemetryMiddleware(nothing)({"type": "http", "server": ("/run/x.sock", None)}, None, None))
        asyncio.run(asgi.TelemetryMiddleware(nothing)({"type": "http", "server": 7}, None, None))
        wsgi.TelemetryMiddleware(lambda _environ, _start: [])({"SERVER_PORT": "²"}, lambda *_args: None)

        assert contain._faults.pop("asgi.request") == 1
        assert len(telemetry.spans) == 3


class TestFaults:
    def test_a_broken_propagator_costs_the_telemetry(
        self, kind: Kind, telemetry, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """
        Where a request's context cannot be read the request is served all the same, without a span.
        """

        class Broken:
            def extract(self, *args: object, **kwargs: object) -> None:
                raise RuntimeError("broken")

        propagate.set_global_textmap(Broken())
        status, headers, _ = kind.get(kind.wrap(kind.app()))

        assert (status, ids_of(headers), telemetry.spans) == (200, [], ())
        assert contain._faults.pop("serving.open") == 1

    def test_an_app_that_cannot_be_looked_at_is_served(self, telemetry, capsys: pytest.CaptureFixture[str]) -> None:
        """
        An application whose attributes raise is treated as one that nobody instruments.
        """

        class Hostile(WsgiApp):
            @property
            def app(self) -> object:
                raise RuntimeError("no")

        assert get_wsgi(wsgi.TelemetryMiddleware(Hostile()))[0] == 200
        assert contain._faults.pop("serving.instrumented") == 1

    def test_an_app_that_wraps_itself_is_served(self, kind: Kind, telemetry) -> None:
        """
        A chain of middlewares without an end is not followed for ever.
        """
        first, second = kind.app(), kind.app()
        first.app, second.app = second, first

        assert kind.get(kind.wrap(first))[0] == 200
        assert len(telemetry.spans) == 1

    def test_a_body_that_is_closed_twice_is_measured_once(self, telemetry) -> None:
        """
        Closing a body again changes nothing.
        """
        body = wsgi.TelemetryMiddleware(WsgiApp())({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_args: None)
        list(body)
        body.close()
        body.close()

        assert telemetry.value(DURATION) == 1

    def test_a_status_of_the_server_is_an_error(self, kind: Kind, telemetry) -> None:
        """
        A status of 500 or more is the span's error and the duration's `error.type`; one of 404 is not.
        """

        async def failing(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        app = failing if kind.name == "asgi" else lambda _environ, start: start("503 No", []) or [b""]
        kind.get(kind.wrap(app))
        kind.get(kind.wrap(kind.app()), "/nowhere")

        assert [span.attributes.get("error.type") for span in telemetry.spans] == ["503", None]
        assert [span.status.is_ok for span in telemetry.spans] == [False, True]

    def test_getters_name_their_headers(self) -> None:
        """
        Propagators that list the headers, as Jaeger's does, find them.
        """
        assert asgi.HeaderGetter().keys({"headers": [(b"X-A", b"1")]}) == ["x-a"]
        assert asgi.HeaderGetter().keys({}) == []
        assert wsgi.HeaderGetter().keys({"HTTP_X_A": "1", "REQUEST_METHOD": "GET"}) == ["x-a"]


class TestOnce:
    def test_two_of_them_count_once(self, kind: Kind, telemetry) -> None:
        """
        Wrapped twice, a request is one span, one measurement and one header.
        """
        headers = kind.get(kind.wrap(kind.wrap(kind.app())), X_Request_ID="r")[1]

        assert len(telemetry.spans) == 1
        assert telemetry.value(DURATION) == 1
        assert ids_of(headers) == ["r"]

    @pytest.mark.parametrize("outer", [True, False])
    def test_upstreams_middleware_counts_once(self, kind: Kind, telemetry, propagation, outer: bool) -> None:
        """
        Around upstream's middleware or within it, ours passes requests through.
        """
        wrapped = kind.wrap(kind.upstream(kind.app())) if outer else kind.upstream(kind.wrap(kind.app()))
        kind.get(wrapped)

        assert [span.kind for span in telemetry.spans].count(SpanKind.SERVER) == 1
        assert {span.instrumentation_scope.name for span in telemetry.spans} == {
            f"opentelemetry.instrumentation.{kind.name}"
        }

    def test_an_instrumented_flask_counts_once(self, telemetry, propagation) -> None:
        """
        Around an application that the framework's instrumentation knows, or its `wsgi_app`, ours passes through.
        """
        from flask import Flask

        app = Flask("shop")
        FlaskInstrumentor.instrument_app(app)
        app.add_url_rule("/items/<number>", view_func=lambda number: number)
        get_wsgi(wsgi.TelemetryMiddleware(app))
        app.wsgi_app = wsgi.TelemetryMiddleware(app.wsgi_app)
        get_wsgi(app)
        FlaskInstrumentor.uninstrument_app(app)

        assert [span.name for span in telemetry.spans] == ["GET /items/<number>"] * 2

    def test_an_instrumented_django_counts_once(self, telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Around Django's handler ours passes through while Django's instrumentation is active, and serves otherwise.
        """

        class Handler(WsgiApp):
            pass

        monkeypatch.setattr(Handler, "__module__", "django.core.handlers.wsgi")
        instrumentation = SimpleNamespace(is_instrumented_by_opentelemetry=True)
        monkeypatch.setitem(
            sys.modules,
            "opentelemetry.instrumentation.django",
            SimpleNamespace(DjangoInstrumentor=lambda: instrumentation),
        )
        get_wsgi(wsgi.TelemetryMiddleware(Handler()))
        active = len(telemetry.spans)
        instrumentation.is_instrumented_by_opentelemetry = False
        get_wsgi(wsgi.TelemetryMiddleware(Handler()))

        assert (active, len(telemetry.spans)) == (0, 1)

    def test_an_unsampled_server_span_counts_too(self, kind: Kind, telemetry) -> None:
        """
        Within a request that is not sampled, a second helper makes nothing of its own.
        """
        unsampled = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=False))
        token = otel_context.attach(trace.set_span_in_context(unsampled))
        try:
            kind.get(kind.wrap(kind.app()))
        finally:
            otel_context.detach(token)

        assert telemetry.spans == ()

    def test_other_scopes_pass(self, telemetry) -> None:
        """
        A lifespan or a websocket is none of the helper's business.
        """
        passed: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            passed.append(scope["type"])

        for name in ("lifespan", "websocket"):
            asyncio.run(asgi.TelemetryMiddleware(app)({"type": name}, None, None))

        assert passed == ["lifespan", "websocket"]
        assert telemetry.spans == ()


class TestWsgiBodies:
    def test_it_is_still_wsgi(self, telemetry) -> None:
        """
        The reference validator has nothing to complain of.
        """
        app = validator(wsgi.TelemetryMiddleware(validator(WsgiApp())))

        assert get_wsgi(app)[2] == b"one two"

    def test_lists_and_files_stay_what_they_are(self, telemetry) -> None:
        """
        A server that looks for a list or its own file wrapper finds it.
        """
        for body in ([b"x"], FileWrapper(io.BytesIO(b"x"))):
            app = wsgi.TelemetryMiddleware(lambda _environ, start, body=body: start("200 OK", []) or body)
            environ = {"REQUEST_METHOD": "GET", "wsgi.file_wrapper": FileWrapper}

            assert app(environ, lambda *_args: None) is body
        assert len(telemetry.spans) == 2

    def test_a_status_that_is_none_is_sent_as_it_is(self, telemetry, capsys: pytest.CaptureFixture[str]) -> None:
        """
        A status line that nobody understands is the server's matter.
        """
        started: list[str] = []
        app = wsgi.TelemetryMiddleware(lambda _environ, start: start("odd", []) or [])
        app({}, lambda status, _headers: started.append(status))

        assert started == ["odd"]
        assert contain._faults.pop("wsgi.respond") == 1

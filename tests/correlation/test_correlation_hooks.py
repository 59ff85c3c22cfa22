"""The hooks of others' code: they carry, double nothing, change nothing of the caller's, and can be taken back."""

import asyncio
import multiprocessing
import multiprocessing.pool
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from email.message import Message
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.instrumentation import propagators, utils
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware, wsgi_getter
from opentelemetry.trace import SpanKind
from requests.sessions import SessionRedirectMixin

from tachograph import _otel, bootstrap, contain, correlation
from tachograph.integrations import (
    django,
    environment,
    flask,
    processes,
    requests,
    responses,
    subprocesses,
    threads,
    urllib,
)
from tachograph.integrations.installing import when_imported
from tachograph.propagation import ResponsePropagator, header_in_force, put_in_force
from tachograph.settings import Settings

TRACEPARENT = "00-11111111111111111111111111111111-2222222222222222-01"
CARRIED = {"TRACEPARENT", "BAGGAGE", "TACHOGRAPH_REQUEST_ID"}
DUMP = "import json, os; print(json.dumps(dict(os.environ)))"


def ids() -> dict[str, str]:
    return dict(correlation.ids())


def within_thread(thread: threading.Thread) -> None:
    thread.start()
    thread.join()


class Overriding(threading.Thread):
    def run(self) -> None:
        self.seen = ids()


HOOKS: dict[str, tuple[Callable[[], Callable[[], None]], list[tuple[object, str]]]] = {
    "threads": (threads.install, [(threading.Thread, "start"), (ThreadPoolExecutor, "submit")]),
    "processes": (
        processes.install,
        [
            (multiprocessing.process.BaseProcess, "start"),
            (multiprocessing.process.BaseProcess, "_bootstrap"),
            (multiprocessing.pool.Pool, "map"),
            (ProcessPoolExecutor, "submit"),
        ],
    ),
    "subprocesses": (subprocesses.install, [(subprocess.Popen, "__init__")]),
    "urllib": (urllib.install, [(HTTPRedirectHandler, "redirect_request")]),
    "requests": (requests.install, [(SessionRedirectMixin, "rebuild_auth")]),
}


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_installed_once_and_undone(name: str) -> None:
    """
    A second call changes nothing, undoing gives back what was there, and it can be installed again.
    """
    install, places = HOOKS[name]
    before = [vars(owner)[member] for owner, member in places]
    for _ in range(2):
        undo = install()
        hooked = [vars(owner)[member] for owner, member in places]
        install()
        assert [vars(owner)[member] for owner, member in places] == hooked
        assert not set(hooked) & set(before)
        undo()
        undo()
        assert [vars(owner)[member] for owner, member in places] == before


class TestThreads:
    @pytest.fixture(autouse=True)
    def _threads(self, installed) -> None:
        installed(threads.install())

    def test_a_subclass_runs_in_its_starters_context(self) -> None:
        """
        A thread whose class overrides `run` sees the ids of whoever started it, and is itself again afterwards.
        """
        thread = Overriding()
        with correlation.bind(task_id="t"):
            within_thread(thread)

        assert thread.seen == {"task_id": "t"}
        assert "run" not in vars(thread)

    def test_a_run_of_the_threads_own_is_kept(self) -> None:
        """
        A `run` that was set on the thread itself is what runs, and stays.
        """
        thread, seen = threading.Thread(), []
        thread.run = own = lambda: seen.append(ids())
        with correlation.bind(task_id="t"):
            within_thread(thread)

        assert seen == [{"task_id": "t"}]
        assert thread.run is own

    def test_nothing_to_carry_changes_nothing(self) -> None:
        """
        Without a context a thread is started as it is; started twice, it raises what it raises.
        """
        thread = Overriding()
        within_thread(thread)
        with correlation.bind(task_id="t"), pytest.raises(RuntimeError, match="started once"):
            thread.start()

        assert thread.seen == {}

    def test_telemetrys_own_threads_belong_to_nobody(self) -> None:
        """
        A thread of an exporter that happens to start within a request does not go on in it.
        """
        thread = Overriding(name="OtelBatchSpanRecordProcessor")
        with correlation.bind(task_id="t"):
            within_thread(thread)

        assert thread.seen == {}

    def test_a_pools_workers_belong_to_nobody(self) -> None:
        """
        Each item runs in the context of its submitter, and what a worker does in between is in none.
        """
        with ThreadPoolExecutor(1) as pool:
            with correlation.bind(task_id="first"):
                first = pool.submit(ids).result()
            with correlation.bind(task_id="second"):
                second = [*pool.map(lambda _n: ids(), [1])]
            third = pool.submit(ids).result()
            idle = pool.submit(lambda: [*map(repr, otel_context.get_current())]).result()

        assert (first, second, third, idle) == ({"task_id": "first"}, [{"task_id": "second"}], {}, [])

    def test_it_does_not_double_with_upstreams(self, telemetry) -> None:
        """
        Where upstream's instrumentation carries the context too, the same context is there, and no span more.
        """
        upstream = pytest.importorskip(
            "opentelemetry.instrumentation.threading", reason="opentelemetry-instrumentation-threading is not installed"
        )
        upstream.ThreadingInstrumentor().instrument()
        try:
            thread = Overriding()
            with correlation.bind(task_id="t"), ThreadPoolExecutor(1) as pool:
                within_thread(thread)
                found = pool.submit(ids).result()
        finally:
            upstream.ThreadingInstrumentor().uninstrument()

        assert thread.seen == found == {"task_id": "t"}
        assert telemetry.spans == ()

    def test_asyncio_in_threads(self) -> None:
        """
        What asyncio hands to a thread sees the task's ids.
        """

        async def main() -> tuple[dict[str, str], dict[str, str]]:
            with correlation.bind(task_id="t"):
                loop = asyncio.get_running_loop()
                return await asyncio.to_thread(ids), await loop.run_in_executor(None, ids)

        assert asyncio.run(main()) == ({"task_id": "t"}, {"task_id": "t"})

    def test_an_exception_passes(self) -> None:
        """
        What the submitted function raises is what its future raises.
        """
        with ThreadPoolExecutor(1) as pool, correlation.bind(task_id="t"):
            assert isinstance(pool.submit(lambda: 1 / 0).exception(), ZeroDivisionError)


class TestPools:
    @pytest.fixture(autouse=True)
    def _processes(self, installed, propagation) -> None:
        installed(processes.install())

    def test_nothing_to_carry_submits_the_function_itself(self) -> None:
        """
        Without a context a pool gets what it was given.
        """
        assert processes._carrying(ids) is ids
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(os.path.basename, ("a/b",)) == "b"

    def test_a_task_of_a_pool_runs_in_its_submitters_context(self) -> None:
        """
        A submitted function runs in the carried context wherever it is unpickled, and leaves nothing.
        """
        with correlation.bind(task_id="t"):
            carrying = processes._carrying(ids)

        assert carrying() == {"task_id": "t"}
        assert ids() == {}

    def test_an_executor_runs_in_its_submitters_context(self) -> None:
        """
        An executor of spawned processes, without telemetry of their own, runs the function in what was carried.
        """
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool, correlation.bind(request_id="r"):
            found = pool.submit(os.path.basename, "a/b").result()

        assert found == "b"

    def test_a_thread_pool_keeps_the_context_itself(self) -> None:
        """
        A pool of threads gets the context object, with values that no carrier holds.
        """
        with multiprocessing.pool.ThreadPool(1) as pool:
            token = otel_context.attach(otel_context.set_value("mine", 7, Context()))
            found = pool.apply(lambda: otel_context.get_value("mine"))
            otel_context.detach(token)

        assert found == 7

    def test_a_forked_process_keeps_the_context_itself(self) -> None:
        """
        A forked process has its parent's context, with values that no carrier holds, and exits as it does without us.
        """
        token = otel_context.attach(otel_context.set_value("mine", 7, Context()))
        process = multiprocessing.get_context("fork").Process(target=lambda: os._exit(otel_context.get_value("mine")))
        process.start()
        process.join()
        otel_context.detach(token)

        assert process.exitcode == 7


class TestSubprocesses:
    @pytest.fixture(autouse=True)
    def _subprocesses(self, installed, propagation, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in (*CARRIED, "TRACESTATE"):
            monkeypatch.delenv(name, raising=False)
        installed(subprocesses.install())

    def environ(self, *args: object, **kwargs: object) -> dict[str, str]:
        import json

        done = subprocess.Popen([sys.executable, "-c", DUMP], *args, stdout=subprocess.PIPE, **kwargs)
        return json.loads(done.communicate()[0])

    def test_a_program_finds_the_context(self, telemetry) -> None:
        """
        The environment of a program says in which trace, with which ids and with which baggage it was started.
        """
        with correlation.bind(request_id="r", plan_id="p"), trace.get_tracer("t").start_as_current_span("call"):
            token = otel_context.attach(baggage.set_baggage("tenant", "7"))
            found = self.environ()
            otel_context.detach(token)
        span = telemetry.span("call").context

        assert found["TRACEPARENT"][3:52] == f"{span.trace_id:032x}-{span.span_id:016x}"
        assert found["TACHOGRAPH_REQUEST_ID"] == "r"
        assert found["BAGGAGE"] == "tenant=7,request_id=r,plan_id=p"

    def test_the_callers_environment_is_copied(self) -> None:
        """
        A given environment is extended for the child, never changed; given by position as well as by name.
        """
        given = {"PATH": os.environ["PATH"], "MORE": "1"}
        before = dict(given)
        with correlation.bind(request_id="r"):
            by_name = self.environ(env=given)
            by_position = subprocess.Popen(
                [sys.executable, "-c", DUMP], -1, None, None, subprocess.PIPE, None, None, True, False, None, given
            )
            out = by_position.communicate()[0]

        assert given == before
        assert (by_name["MORE"], by_name["TACHOGRAPH_REQUEST_ID"]) == ("1", "r")
        assert b'"TACHOGRAPH_REQUEST_ID": "r"' in out

    def test_what_the_caller_says_is_not_contradicted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A trace of the caller's own is left as it is, all of it; one inherited from our own start is not the caller's.
        """
        monkeypatch.setenv("TACHOGRAPH_REQUEST_ID", "of-our-start")
        with correlation.bind(request_id="r", plan_id="p"):
            own = self.environ(env={**os.environ, "TACHOGRAPH_REQUEST_ID": "own"})
            inherited = self.environ(env=os.environ.copy())
            raw = self.environ(env={os.fsencode(key): os.fsencode(value) for key, value in os.environ.items()})
            bare = self.environ()

        assert own["TACHOGRAPH_REQUEST_ID"] == "own"
        assert "BAGGAGE" not in own
        assert [each["TACHOGRAPH_REQUEST_ID"] for each in (inherited, raw, bare)] == ["r", "r", "r"]

    def test_nothing_to_carry_changes_nothing(self) -> None:
        """
        Without a context a program gets the environment that it gets without us.
        """
        assert not CARRIED & set(self.environ())

    def test_an_environment_that_is_none_is_pythons_matter(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        A wrong argument raises what Python raises.
        """
        with correlation.bind(request_id="r"), pytest.raises(TypeError):
            subprocess.Popen([sys.executable, "-c", ""], env={1: 2})

        assert contain._faults.pop("subprocesses.start") == 1


class TestEnvironment:
    ENVIRON = {"TRACEPARENT": TRACEPARENT, "BAGGAGE": "plan_id=p,tenant=7", "TACHOGRAPH_REQUEST_ID": "r"}

    def test_a_process_goes_on_where_it_was_started(self, installed, telemetry, propagation) -> None:
        """
        Root spans, ids and baggage of a started process are those of its starter, until that is undone.
        """
        undo = environment.install(self.ENVIRON)
        again = environment.install(self.ENVIRON)
        with trace.get_tracer("t").start_as_current_span("main"):
            found = ids(), baggage.get_baggage("tenant")
        undo()
        again()

        assert telemetry.span("main").parent.span_id == 0x2222222222222222
        assert found == ({"request_id": "r", "plan_id": "p"}, "7")
        assert (ids(), trace.get_current_span()) == ({}, trace.INVALID_SPAN)

    @pytest.mark.parametrize("environ", [{}, {"PATH": "/bin"}, {"TACHOGRAPH_REQUEST_ID": "a b"}, {"TRACEPARENT": "x"}])
    def test_nothing_usable_changes_nothing(self, propagation, environ: dict[str, str]) -> None:
        """
        Where nobody said anything usable no id is made up and no context is entered.
        """
        environment.install(environ)()

        assert otel_context.get_current() == Context()

    def test_the_header_may_have_another_name(self, propagation) -> None:
        """
        Whatever the header is called, the variable is TACHOGRAPH_REQUEST_ID; other headers follow the specification.
        """
        getter = environment.EnvironmentGetter("X-Corr-Id")
        environ = {"TACHOGRAPH_REQUEST_ID": "r", "X_B3_TRACEID": "1"}

        assert getter.get(environ, "x-corr-id") == ["r"]
        assert getter.get(environ, "X-B3-TraceId") == ["1"]
        assert getter.get(environ, "baggage") is None
        assert getter.keys(environ) == ["tachograph_request_id", "x_b3_traceid"]

    def test_a_request_is_not_its_servers_errand(self, installed, telemetry, propagation) -> None:
        """
        A request that is served is a server span of its own trace, and afterwards the starter's context is back.
        """
        installed(environment.install(self.ENVIRON))
        seen: list[dict[str, str]] = []
        app = OpenTelemetryMiddleware(lambda _environ, start: (seen.append(ids()), start("200 OK", []))[1] or [b""])
        request = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/",
            "SERVER_NAME": "x",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
        }
        list(app({**request, "HTTP_X_REQUEST_ID": "theirs"}, lambda *_args: None))
        after = ids()
        with trace.get_tracer("t").start_as_current_span("main"):
            span, token = utils._start_internal_or_server_span(trace.get_tracer("t"), "inner", None, {}, wsgi_getter)
            span.end()
        served = telemetry.span("GET /")

        assert (served.kind, served.parent) == (SpanKind.SERVER, None)
        assert seen == [{"request_id": "theirs"}]
        assert after == {"request_id": "r", "plan_id": "p"}
        assert token is None
        assert telemetry.span("inner").kind is SpanKind.INTERNAL

    def test_what_a_span_of_this_process_surrounds_is_its_own(self, installed, telemetry, propagation) -> None:
        """
        A request in a started process, within a span that it opened itself, is part of that, as upstream has it.
        """
        installed(environment.install(self.ENVIRON))
        with trace.get_tracer("t").start_as_current_span("main"):
            assert not correlation.is_of_starter()
        assert correlation.is_of_starter()

    def test_a_header_that_was_configured_is_in_force(self, propagation, installed) -> None:
        """
        A header named in `configure` holds for whatever is made later without a name.
        """
        put_in_force(Settings(request_id_header="X-Corr"))
        installed(lambda: put_in_force(None))
        undo = bootstrap._put_in_force(Settings(request_id_header="X-Corr-2"))
        headers: dict[str, str] = {}
        with correlation.bind(request_id="r"):
            ResponsePropagator().inject(headers)
        undo()

        assert headers == {"X-Corr-2": "r"}
        assert header_in_force() == "X-Request-ID"

    def test_a_wrong_declaration_by_variable_is_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        An id that cannot be one is said; the others are declared.
        """
        bootstrap._declare_ids(Settings(correlation_ids=("Delivery ID", "run_key")))

        said = "'Delivery ID' cannot be the name of an id; write it like delivery_id"

        assert capsys.readouterr().err == f"tachograph: TACHOGRAPH_CORRELATION_IDS: {said}\n"
        assert correlation.declared()[-1] == "run_key"

    def test_without_upstreams_function_nothing_is_hooked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A version of the instrumentations that starts its spans otherwise is left alone.
        """
        monkeypatch.delattr(utils, "_start_internal_or_server_span")

        assert _otel.hook_server_spans(lambda original: original)() is None

    def test_a_fault_while_hooking_costs_the_hook(
        self, propagation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """
        Where servers cannot be hooked the context is entered all the same.
        """
        monkeypatch.setattr(environment, "hook_server_spans", lambda _make: 1 / 0)
        undo = environment.install(self.ENVIRON)
        inside = ids()
        undo()

        assert inside == {"request_id": "r", "plan_id": "p"}
        assert ids() == {}
        assert contain._faults.pop("environment.servers") == 1


class TestResponses:
    def test_the_id_is_written_once_onto_any_kind_of_response(self) -> None:
        """
        An ASGI message, a list of WSGI headers and a mapping get the header where it is not there, in any spelling.
        """
        ours = ResponsePropagator("X-Request-ID")
        message = {"type": "http.response.start", "headers": [(b"a", b"b")]}
        bare = {"type": "http.response.start", "status": 200}
        body = {"type": "http.response.body", "body": b""}
        taken = {"type": "http.response.start", "headers": [[b"X-REQUEST-ID", b"own"]]}
        listed, mapping = [("x-request-id", "own")], Message()
        with correlation.bind(request_id="r"):
            for carrier in (message, message, bare, body, taken, listed, mapping, mapping):
                ours.inject(carrier)

        assert message["headers"] == [(b"a", b"b"), (b"x-request-id", b"r")]
        assert bare["headers"] == [(b"x-request-id", b"r")]
        assert body == {"type": "http.response.body", "body": b""}
        assert taken["headers"] == [[b"X-REQUEST-ID", b"own"]]
        assert listed == [("x-request-id", "own")]
        assert mapping.items() == [("X-Request-ID", "r")]

    @pytest.mark.parametrize("bound", ["a\r\nSet-Cookie: x=1", "é", ""])
    def test_an_id_that_the_app_bound_unsafely_is_not_written(self, bound: str) -> None:
        """
        No id splits a response.
        """
        listed: list[tuple[str, str]] = []
        with correlation.bind(request_id=bound):
            ResponsePropagator("X-Request-ID").inject(listed)
        ResponsePropagator("X-Request-ID").inject(listed)

        assert listed == []

    def test_it_reads_its_settings_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Made without a name it follows the variable.
        """
        monkeypatch.setenv("TACHOGRAPH_REQUEST_ID_HEADER", "X-Corr")
        mapping: dict[str, str] = {}
        with correlation.bind(request_id="r"):
            ResponsePropagator().inject(mapping)

        assert mapping == {"X-Corr": "r"}

    def test_it_stands_beside_the_hosts(self) -> None:
        """
        A propagator that the host has set is asked first, ours after it; undone, the host's is back.
        """
        theirs = propagators.TraceResponsePropagator()
        propagators.set_global_response_propagator(theirs)
        undo = responses.install("X-Request-ID")
        responses.install("X-Request-ID")()
        headers: dict[str, str] = {}
        span = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=False))
        with correlation.bind(request_id="r"):
            propagators.get_global_response_propagator().inject(headers, context=trace.set_span_in_context(span))
        undo()

        assert set(headers) == {"traceresponse", "Access-Control-Expose-Headers", "X-Request-ID"}
        assert propagators.get_global_response_propagator() is theirs

    def test_what_somebody_set_since_is_left(self) -> None:
        """
        Undoing does not take away what another has put in place.
        """
        propagators.set_global_response_propagator(None)
        undo = responses.install("X-Request-ID")
        other = propagators.TraceResponsePropagator()
        propagators.set_global_response_propagator(other)
        undo()

        assert propagators.get_global_response_propagator() is other


class TestFrameworks:
    def test_a_hook_waits_for_the_import(self) -> None:
        """
        A hook for a module is called when that is imported, unless it was taken back before.
        """
        called: list[str] = []
        undo_first = when_imported("tachograph_not_there_yet", lambda _module: called.append("first") or (lambda: None))
        undo_first()
        undo = when_imported("this", lambda _module: called.append("hooked") or (lambda: called.append("undone")))
        import contextlib
        import io

        with contextlib.redirect_stdout(io.StringIO()):
            import this  # noqa: F401
        undo()
        undo()

        assert called == ["hooked", "undone"]

    def test_flask_streams_in_context_and_leaves_the_rest(self, installed, telemetry) -> None:
        """
        A generator's chunks and its closing run in the request's context; without one the body is Flask's own.
        """
        import flask as framework

        installed(flask.install())
        flask.install()
        app, seen = framework.Flask("shop"), []

        @app.before_request
        def enter() -> None:
            framework.g.token = otel_context.attach(correlation.with_ids(request_id="r"))

        @app.teardown_request
        def leave(_error: object) -> None:
            otel_context.detach(framework.g.token)

        @app.get("/")
        def stream() -> framework.Response:
            def chunks():
                try:
                    seen.append(ids())
                    yield "x"
                finally:
                    seen.append(ids())

            return framework.Response(chunks())

        assert app.test_client().get("/").text == "x"
        assert seen == [{"request_id": "r"}] * 2
        assert ids() == {}

    def test_flask_without_a_context_is_untouched(self, installed) -> None:
        """
        Where there is nothing to carry the response is what Flask returns.
        """
        import flask as framework

        from tachograph.integrations.wsgi import StreamedBody

        installed(flask.install())
        app = framework.Flask("shop")
        app.add_url_rule("/", view_func=lambda: "x")
        body = app({"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "x", "SERVER_PORT": "80",
                    "wsgi.url_scheme": "http"}, lambda *_args: None)  # fmt: skip

        assert not isinstance(body, StreamedBody)
        body.close()

    def test_django_streams_in_context(self, installed) -> None:
        """
        Synchronous and asynchronous bodies are computed in the view's context; lists and files stay what they are.
        """
        import io

        pytest.importorskip("django", reason="Django is not installed")
        from django.conf import settings
        from django.http import FileResponse, StreamingHttpResponse

        if not settings.configured:
            settings.configure()
        installed(django.install())

        def chunks():
            yield correlation.ids()["request_id"]

        async def later():
            yield correlation.ids()["request_id"]

        async def read(response: StreamingHttpResponse) -> list[bytes]:
            return [part async for part in response.streaming_content]

        with correlation.bind(request_id="r"):
            made = StreamingHttpResponse(chunks()), StreamingHttpResponse(later())
            listed, file = StreamingHttpResponse([b"x"]), FileResponse(io.BytesIO(b"x"))

        assert [*made[0].streaming_content] == [b"r"]
        assert asyncio.run(read(made[1])) == [b"r"]
        assert [*listed.streaming_content] == [*file.streaming_content] == [b"x"]
        assert file.file_to_stream is not None
        for response in (*made, listed, file):
            response.close()

    @pytest.mark.parametrize(
        ("url", "kept"), [("http://billing/b", True), ("https://api.vendor.example/", False), ("http://[", False)]
    )
    def test_a_redirected_request_is_looked_at_again(self, installed, propagation, url: str, kept: bool) -> None:
        """
        urllib's next request carries ids only where its own host may have them; other headers stay.
        """
        installed(urllib.install())
        first = Request("http://stock/a", headers={"X-Mine": "1"})
        first.add_header("X-Request-ID", "r")
        first.add_header("Baggage", "request_id=r")
        with correlation.bind(request_id="r"):
            following = HTTPRedirectHandler().redirect_request(first, None, 302, "Found", Message(), url)
        headers = {key.lower(): value for key, value in following.headers.items()}

        assert headers == {"x-mine": "1", **({"x-request-id": "r", "baggage": "request_id=r"} if kept else {})}

    def test_a_redirect_that_is_not_followed_is_left(self, installed) -> None:
        """
        A handler that answers None, or raises, does so with us.
        """
        installed(urllib.install())

        class Stubborn(HTTPRedirectHandler):
            def http_error_302(self, *args: object) -> None:
                return self.redirect_request(
                    Request("http://a", method="PUT"), None, 302, "Found", Message(), "http://b"
                )

        with pytest.raises(HTTPError) as raised:
            Stubborn().http_error_302()
        raised.value.close()

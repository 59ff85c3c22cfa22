"""Ids of a run: bound to the context, carried by a propagator, kept within the trust boundary."""

import asyncio
import contextvars
import random
import threading

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.propagate import get_global_textmap
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from tachograph import _otel, correlation
from tachograph.bootstrap.traces import CorrelationProcessor
from tachograph.ids import IdGenerator
from tachograph.propagation import RequestIdPropagator, TrustedBaggagePropagator, is_trusted

TRACER = TracerProvider(shutdown_on_exit=False).get_tracer("test")
UNSAFE = ["", " ", "x level=error", "a\nb", "a\r\nb", "é", "x" * 129, "-lead", "{}", '"', "a;b", "a\0", "<script>"]


def client_span(kind: SpanKind = SpanKind.CLIENT, **attributes: str):
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    return trace.set_span_in_context(TRACER.start_span("call", kind=kind, attributes=named))


class TestBinding:
    def test_ids_hold_for_the_block(self) -> None:
        """
        Ids are in force inside the block, added to those around it, and gone after it.
        """
        with correlation.bind(request_id="r-1"), correlation.bind(plan_id="p-1", request_id="r-2"):
            inner = dict(correlation.ids())

        assert inner == {"request_id": "r-2", "plan_id": "p-1"}
        assert dict(correlation.ids()) == {}

    def test_ids_cannot_be_changed_in_place(self) -> None:
        """
        What `ids` returns is read-only.
        """
        with correlation.bind(request_id="r-1"), pytest.raises(TypeError):
            correlation.ids()["request_id"] = "forged"

    def test_ids_follow_tasks_but_not_siblings(self) -> None:
        """
        A task sees the ids of its creator; what it binds itself stays with it.
        """

        async def child(name: str) -> dict[str, str]:
            with correlation.bind(task_id=name):
                await asyncio.sleep(0)
                return dict(correlation.ids())

        async def main() -> list[dict[str, str]]:
            with correlation.bind(request_id="r"):
                return await asyncio.gather(child("a"), child("b"))

        assert asyncio.run(main()) == [{"request_id": "r", "task_id": "a"}, {"request_id": "r", "task_id": "b"}]

    def test_a_block_left_in_another_context_is_no_fault(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        A token of another context is left alone, without upstream's "Failed to detach context".
        """
        block = correlation.bind(request_id="r")
        contextvars.copy_context().run(block.__enter__)
        block.__exit__(None, None, None)

        assert caplog.records == []
        assert dict(correlation.ids()) == {}

    def test_none_adds_nothing(self) -> None:
        """
        An id of None leaves the context as it is.
        """
        given = context.Context()

        assert correlation.with_ids(given, request_id=None) is given
        assert correlation.with_ids(request_id=None) == context.get_current()

    def test_the_nearest_agent_wins(self) -> None:
        """
        An agent inside an agent is the one in force.
        """
        outer = correlation.with_agent("outer", context.Context())

        assert correlation.agent(correlation.with_agent("inner", outer)) == "inner"
        assert correlation.agent(outer) == "outer"
        assert correlation.agent(context.Context()) is None

    def test_a_foreign_value_under_our_key_is_ignored(self) -> None:
        """
        Something else that stands in the context under our keys is taken for nothing.
        """
        forged = context.set_value("tachograph.ids", 7, context.set_value("tachograph.agent", 7, context.Context()))

        assert dict(correlation.ids(forged)) == {}
        assert correlation.agent(forged) is None

    def test_a_span_gets_the_ids_unless_it_has_its_own(self) -> None:
        """
        The ids in force at a span's start stand on it; an attribute of the same name is kept.
        """
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(CorrelationProcessor())
        tracer = provider.get_tracer("test")
        with correlation.bind(request_id="r", plan_id="p"):
            span = tracer.start_span("s", attributes={"plan_id": "own"})
            bare = tracer.start_span("s")

        assert dict(span.attributes) == {"plan_id": "own", "request_id": "r"}
        assert dict(bare.attributes) == {"request_id": "r", "plan_id": "p"}

    def test_detach_uses_the_public_way_when_there_is_no_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Without OpenTelemetry's inner object the public function is used.
        """
        token = context.attach(correlation.with_ids(request_id="r"))
        monkeypatch.delattr(_otel._context, "_RUNTIME_CONTEXT")
        used = []
        monkeypatch.setattr(_otel._context, "detach", used.append)
        _otel.detach(token)
        monkeypatch.undo()
        context.detach(token)

        assert used == [token]


class TestRequestId:
    @pytest.mark.parametrize("unsafe", UNSAFE)
    def test_an_unsafe_id_is_replaced(self, unsafe: str) -> None:
        """
        An id that could forge a log line, or a very long one, is never kept.
        """
        found = RequestIdPropagator("X-Request-ID", ()).extract({"x-request-id": unsafe}, context.Context())
        made = correlation.ids(found)["request_id"]

        assert made != unsafe
        assert len(made) == 32
        assert int(made, 16)

    @pytest.mark.parametrize("safe", ["a", "req-1", "7f:3/x.y_z+=", "A" * 128])
    def test_a_safe_id_is_kept(self, safe: str) -> None:
        """
        A short id of a safe alphabet is taken as it is.
        """
        found = RequestIdPropagator("X-Request-ID", ()).extract({"X-Request-ID": safe}, context.Context())

        assert correlation.ids(found)["request_id"] == safe

    def test_each_request_without_an_id_gets_its_own(self) -> None:
        """
        Made ids differ, also when `random` is seeded.
        """
        made = set()
        for _ in range(50):
            random.seed(42)
            made.add(
                correlation.ids(RequestIdPropagator("X-Request-ID", ()).extract({}, context.Context()))["request_id"]
            )

        assert len(made) == 50

    def test_an_id_in_force_is_not_replaced_by_a_new_one(self) -> None:
        """
        A carrier without an id leaves the id that is in force; one with an id replaces it.
        """
        inside = correlation.with_ids(context.Context(), request_id="r-1")
        propagator = RequestIdPropagator("X-Request-ID", ())

        assert propagator.extract({}, inside) is inside
        assert correlation.ids(propagator.extract({"x-request-id": "r-2"}, inside))["request_id"] == "r-2"
        with correlation.bind(request_id="r-3"):
            assert correlation.ids(propagator.extract({}))["request_id"] == "r-3"

    def test_it_leaves_towards_trusted_hosts_only(self) -> None:
        """
        The header is set for a private receiver, and not for a vendor, an unknown one, or without an id.
        """
        propagator = RequestIdPropagator("X-Corr", ("api.partner.com",))

        def sent(around: context.Context, **ids: str) -> dict[str, str]:
            carrier: dict[str, str] = {}
            propagator.inject(carrier, correlation.with_ids(around, **ids))
            return carrier

        assert sent(client_span(server__address="10.0.0.7"), request_id="r") == {"X-Corr": "r"}
        assert sent(client_span(server__address="api.partner.com"), request_id="r") == {"X-Corr": "r"}
        assert sent(client_span(url__full="http://billing/x"), request_id="r") == {"X-Corr": "r"}
        assert sent(client_span(kind=SpanKind.PRODUCER), request_id="r") == {"X-Corr": "r"}
        assert sent(client_span(server__address="api.openai.com"), request_id="r") == {}
        assert sent(client_span(http__url="http://[broken"), request_id="r") == {}
        assert sent(client_span(), request_id="r") == {}
        assert sent(context.Context(), request_id="r") == {}
        assert sent(client_span(server__address="10.0.0.7")) == {}
        assert propagator.fields == {"X-Corr"}

    def test_it_reads_its_settings_itself_when_named_in_a_configuration(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Made without arguments, as an entry point is, it follows the variables.
        """
        monkeypatch.setenv("TACHOGRAPH_REQUEST_ID_HEADER", "X-Corr")
        monkeypatch.setenv("TACHOGRAPH_TRUSTED_HOSTS", "*.partner.com")
        carrier: dict[str, str] = {}
        RequestIdPropagator().inject(
            carrier, correlation.with_ids(client_span(server__address="eu.partner.com"), request_id="r")
        )

        assert carrier == {"X-Corr": "r"}

    def test_baggage_stays_within_the_same_boundary(self) -> None:
        """
        Baggage goes to trusted receivers and to nobody else.
        """
        propagator = TrustedBaggagePropagator()
        inside, outside = {}, {}
        propagator.inject(inside, baggage.set_baggage("tenant", "7", client_span(server__address="localhost")))
        propagator.inject(outside, baggage.set_baggage("tenant", "7", client_span(server__address="api.openai.com")))

        assert (inside, outside) == ({"baggage": "tenant=7"}, {})


class TestTrust:
    @pytest.mark.parametrize(
        "host",
        [
            "localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "10.1.2.3", "192.168.0.1", "172.16.0.1", "fd00::1",
            "billing", "billing.", "billing.svc", "b.prod.svc.cluster.local", "x.internal", "printer.local",
            "a.LOCALHOST",
        ],
    )  # fmt: skip
    def test_inside(self, host: str) -> None:
        """
        Loopback and private addresses, single-label and cluster-internal names are inside.
        """
        assert is_trusted(host)

    @pytest.mark.parametrize(
        "host",
        [
            "api.openai.com", "8.8.8.8", "169.254.169.254", "fe80::1", "0.0.0.0", "::", "", "2001:4860::8888",
            "internal.evil.com", "svc.evil", "172.32.0.1", "100.64.0.1",
        ],
    )  # fmt: skip
    def test_outside(self, host: str) -> None:
        """
        Everything else is outside, the metadata address of clouds too.
        """
        assert not is_trusted(host)

    @pytest.mark.parametrize(
        ("host", "pattern", "trusted"),
        [
            ("api.partner.com", "api.partner.com", True),
            ("API.Partner.Com", "api.partner.COM", True),
            ("eu.partner.com", "*.partner.com", True),
            ("partner.com", "*.partner.com", False),
            ("evilpartner.com", "*.partner.com", False),
            ("8.8.8.8", "8.8.8.0/24", True),
            ("8.8.9.8", "8.8.8.0/24", False),
            ("8.8.8.8", "8.8.8.8", True),
            ("8.8.8.8", "nonsense", False),
            ("2001:db8::1", "2001:db8::/32", True),
            ("169.254.169.254", "169.254.0.0/16", True),
        ],
    )
    def test_named_hosts(self, host: str, pattern: str, trusted: bool) -> None:
        """
        TACHOGRAPH_TRUSTED_HOSTS adds names, suffixes, addresses and networks.
        """
        assert is_trusted(host, (pattern,)) is trusted


class TestIds:
    def test_ids_do_not_repeat_with_a_seed(self) -> None:
        """
        `random.seed` has no influence on trace and span ids, which are never zero and have their widths.
        """
        generator = IdGenerator()
        traces, spans = set(), set()
        for _ in range(200):
            random.seed(42)
            traces.add(generator.generate_trace_id())
            spans.add(generator.generate_span_id())

        assert len(traces) == len(spans) == 200
        assert max(traces).bit_length() <= 128
        assert max(spans).bit_length() <= 64

    def test_zero_is_drawn_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Bytes that would make the invalid id are not used.
        """
        drawn = iter([bytes(8), bytes(7) + b"\x01"])
        monkeypatch.setattr("tachograph.ids.os.urandom", lambda _size: next(drawn))

        assert IdGenerator().generate_span_id() == 1

    def test_threads_draw_different_ids(self) -> None:
        """
        Ids drawn by threads at once differ.
        """
        generator, drawn, lock = IdGenerator(), [], threading.Lock()

        def draw() -> None:
            mine = [generator.generate_trace_id() for _ in range(100)]
            with lock:
                drawn.extend(mine)

        threads = [threading.Thread(target=draw) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(set(drawn)) == 800


def test_these_tests_leave_the_global_propagator_alone() -> None:
    """
    Importing and making propagators registers none.
    """
    assert not any(isinstance(each, RequestIdPropagator) for each in getattr(get_global_textmap(), "_propagators", ()))

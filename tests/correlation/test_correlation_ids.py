"""Ids that an application declares, and what of them goes out and comes in."""

import asyncio
import pickle
import uuid

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from tachograph import contain, correlation
from tachograph.errors import DeclarationError
from tachograph.propagation import RequestIdPropagator, TrustedBaggagePropagator

INSIDE = correlation.toward("localhost", Context())


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("no text")


class TestDeclare:
    def test_a_declared_id_is_taken_over(self) -> None:
        """
        An id of the application is taken from incoming baggage once it is declared, and not before.
        """
        propagator, carrier = TrustedBaggagePropagator(()), {"baggage": "delivery_id=d-1,tenant=7"}
        before = correlation.ids(propagator.extract(carrier, Context()))
        correlation.declare("delivery_id", "run_key")

        assert dict(before) == {}
        assert dict(correlation.ids(propagator.extract(carrier, Context()))) == {"delivery_id": "d-1"}
        assert correlation.declared()[-2:] == ("delivery_id", "run_key")

    @pytest.mark.parametrize("key", ["", "Delivery", "a b", "a\n", "trace_id", "x" * 65, "é", "1a", "a-b", "event"])
    def test_a_name_that_cannot_be_one_is_refused(self, key: str) -> None:
        """
        A declaration is code: a wrong one raises and says what to write.
        """
        with pytest.raises(DeclarationError, match="write it like delivery_id"):
            correlation.declare(key)

    def test_there_is_a_limit(self) -> None:
        """
        Thirty-two ids of the application are enough for a header; declaring one again is no new one.
        """
        correlation.declare(*(f"key_{n}" for n in range(32)))
        correlation.declare("key_0", "plan_id")

        with pytest.raises(DeclarationError, match="one id too many"):
            correlation.declare("key_33")


class TestBind:
    def test_a_value_becomes_a_text(self) -> None:
        """
        An id has one spelling, a text, whatever object it was bound as; None binds nothing.
        """
        given = uuid.uuid4()
        with correlation.bind(delivery_id=given, run_key=7, failure_id=None):
            assert dict(correlation.ids()) == {"delivery_id": str(given), "run_key": "7"}

    def test_a_value_without_a_text_is_left_out(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        A value whose text cannot be made is counted as a fault and bound to nothing.
        """
        with correlation.bind(delivery_id=Mute()):
            assert dict(correlation.ids()) == {}

        assert contain._faults.pop("correlation.bind") == 1


class TestBaggage:
    def test_ids_join_the_applications_baggage(self) -> None:
        """
        What leaves for a trusted host is the application's baggage and the ids in force, an id winning over its name.
        """
        context = correlation.with_ids(INSIDE, plan_id="p-2", request_id="r")
        context = baggage.set_baggage("plan_id", "p-1", baggage.set_baggage("tenant", "a b", context))
        carrier: dict[str, str] = {}
        TrustedBaggagePropagator(()).inject(carrier, context)

        assert carrier["baggage"].split(",") == ["tenant=a+b", "plan_id=p-2", "request_id=r"]
        assert baggage.get_all(context) == {"tenant": "a b", "plan_id": "p-1"}

    def test_an_unsafe_id_does_not_leave(self) -> None:
        """
        An id that the receiver would refuse is not sent.
        """
        carrier: dict[str, str] = {}
        TrustedBaggagePropagator(()).inject(carrier, correlation.with_ids(INSIDE, plan_id="a\r\nb", run_id="x" * 200))

        assert carrier == {}

    def test_unknown_baggage_is_the_applications(self) -> None:
        """
        What is not declared, and a declared name with an unsafe value, stays baggage and becomes no id.
        """
        context = TrustedBaggagePropagator(()).extract({"baggage": "user=ada;p=1,task_id=a%20b,plan_id=p"}, Context())

        assert dict(correlation.ids(context)) == {"plan_id": "p"}
        assert dict(baggage.get_all(context)) == {"user": "ada;p=1", "task_id": "a b", "plan_id": "p"}

    def test_too_much_is_cut(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        Of many members the first 64 are read, of a header over 8192 bytes none, and none of it is logged.
        """
        propagator = TrustedBaggagePropagator(())
        many = propagator.extract({"baggage": ",".join(f"k{n}=v" for n in range(500))}, Context())
        long = propagator.extract({"baggage": f"plan_id=p,k={'v' * 9000}"}, Context())
        wrong = propagator.extract({"baggage": "no pair,a b=c,é=1,x=\x00,plan_id=p"}, Context())

        assert len(baggage.get_all(many)) == 64
        assert dict(baggage.get_all(long)) == {}
        assert dict(baggage.get_all(wrong)) == {"plan_id": "p"}
        assert caplog.records == []

    def test_it_reads_its_settings_itself_when_named_in_a_configuration(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Made without arguments, it trusts whom the variable names.
        """
        monkeypatch.setenv("TACHOGRAPH_TRUSTED_HOSTS", "api.partner.com")
        carrier: dict[str, str] = {}
        partner = correlation.toward("api.partner.com", correlation.with_ids(Context(), plan_id="p"))
        TrustedBaggagePropagator().inject(carrier, partner)

        assert carrier == {"baggage": "plan_id=p"}


class TestReceiver:
    def test_a_servers_span_names_nobody(self, telemetry) -> None:
        """
        Inside a request, what is injected by hand goes to an unknown host, though the server's span has an address.
        """
        span = trace.get_tracer("t").start_span("GET", kind=SpanKind.SERVER, attributes={"server.address": "localhost"})
        carrier: dict[str, str] = {}
        context = correlation.with_ids(trace.set_span_in_context(span, Context()), plan_id="p")
        TrustedBaggagePropagator(()).inject(carrier, context)
        TrustedBaggagePropagator(()).inject(carrier, correlation.toward("api.vendor.com", context))
        span.end()

        assert carrier == {}

    def test_a_named_receiver_wins_over_the_span(self) -> None:
        """
        What the caller says is believed before what a span says.
        """
        assert correlation.receiver(correlation.toward("a", Context())) == "a"
        assert correlation.receiver(Context()) is None


class TestQueues:
    def test_a_consumer_goes_on_where_the_producer_was(self, telemetry) -> None:
        """
        A consumer that was started earlier works in the producer's trace and ids, and is back in its own after.
        """

        async def main() -> list[tuple[object, dict[str, str], int]]:
            queue: asyncio.Queue[object] = asyncio.Queue()
            seen: list[tuple[object, dict[str, str], int]] = []

            async def consume() -> None:
                for _ in range(3):
                    with correlation.carried(await queue.get()) as item:
                        trace_id = trace.get_current_span().get_span_context().trace_id
                        seen.append((item, dict(correlation.ids()), trace_id))

            consumer = asyncio.create_task(consume())
            await asyncio.sleep(0)
            for number in range(2):
                with (
                    correlation.bind(task_id=str(number)),
                    trace.get_tracer("t").start_as_current_span(f"put {number}"),
                ):
                    queue.put_nowait(correlation.carry(number))
            queue.put_nowait("bare")
            await consumer
            return seen

        seen = asyncio.run(main())
        traces = {span.name: span.context.trace_id for span in telemetry.spans}

        assert seen == [
            (0, {"task_id": "0"}, traces["put 0"]),
            (1, {"task_id": "1"}, traces["put 1"]),
            ("bare", {}, 0),
        ]

    def test_it_survives_pickling(self, telemetry, propagation) -> None:
        """
        For a queue between processes the trace, the ids and the baggage are what is left, and no id is made up.
        """
        with correlation.bind(plan_id="p"), trace.get_tracer("t").start_as_current_span("put"):
            pickled = pickle.dumps(correlation.carry({"n": 1}))
        with correlation.carried(pickle.loads(pickled)) as item:
            found = dict(correlation.ids()), trace.get_current_span().get_span_context().trace_id

        assert item == {"n": 1}
        assert found == ({"plan_id": "p"}, telemetry.span("put").context.trace_id)

    def test_the_body_may_fail(self) -> None:
        """
        An exception of the consumer passes, and its context is restored.
        """
        with correlation.bind(plan_id="p"):
            item = correlation.carry(1)
        with pytest.raises(ZeroDivisionError), correlation.carried(item) as number:
            number / 0

        assert dict(correlation.ids()) == {}


class TestWithdrawal:
    def test_what_a_trusted_host_was_sent_is_taken_back(self) -> None:
        """
        Headers that were copied from a call inside are taken out of one that goes outside; others are left.
        """
        context = correlation.with_ids(Context(), request_id="r", plan_id="p")
        inside: dict[str, str] = {}
        propagators = RequestIdPropagator("X-Request-ID", ()), TrustedBaggagePropagator(())
        for each in propagators:
            each.inject(inside, correlation.toward("billing", context))
        copied = {**{key.lower(): value for key, value in inside.items()}, "accept": "r"}
        for each in propagators:
            each.inject(copied, correlation.toward("api.vendor.example", context))
            each.inject([("X-Request-ID", "r")], correlation.toward("api.vendor.example", context))

        assert set(inside) == {"X-Request-ID", "baggage"}
        assert copied == {"accept": "r"}

    def test_another_value_is_the_applications(self) -> None:
        """
        A header of the same name with a value that is not ours is left as it is.
        """
        carrier = {"X-Request-ID": "theirs", "baggage": "a=b"}
        context = correlation.toward("api.vendor.example", correlation.with_ids(Context(), request_id="r"))
        RequestIdPropagator("X-Request-ID", ()).inject(carrier, context)
        TrustedBaggagePropagator(()).inject(carrier, context)

        assert carrier == {"X-Request-ID": "theirs", "baggage": "a=b"}


class TestFaults:
    def test_a_getter_that_raises_costs_the_ids(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        A carrier that cannot be read gives a new request id and no baggage.
        """

        class Broken:
            def get(self, *args: object) -> None:
                raise RuntimeError("broken")

        given = Context()

        assert TrustedBaggagePropagator(()).extract({}, given, Broken()) is given
        assert len(correlation.ids(RequestIdPropagator("X-Request-ID", ()).extract({}, given, Broken()))) == 1
        assert contain._faults.pop("propagation.extract") == 2

    def test_a_propagator_of_others_that_raises_costs_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        A broken propagator is a contained fault: nothing is carried, nothing is read.
        """

        class Broken:
            def inject(self, *args: object, **kwargs: object) -> None:
                raise RuntimeError("broken")

            extract = inject

        from opentelemetry import propagate

        propagate.set_global_textmap(Broken())

        assert correlation.carrier(Context()) == {}
        assert dict(correlation.received({"traceparent": "x"})) == {}
        assert contain._faults.pop("correlation.carrier") == contain._faults.pop("correlation.received") == 1

"""The carrier in `_meta` of the Model Context Protocol."""

from types import SimpleNamespace

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context

from tachograph import contain, correlation
from tachograph.integrations.mcp import extract_meta, inject_meta

TRACEPARENT = "00-11111111111111111111111111111111-2222222222222222-01"
IDS = {"request_id": "r", "plan_id": "p"}


class TestInject:
    def test_a_trusted_server_gets_all(self, telemetry, propagation) -> None:
        """
        For a server behind stdio the trace, the ids and the baggage stand in `_meta`, beside what is there.
        """
        with correlation.bind(**IDS), trace.get_tracer("t").start_as_current_span("call"):
            meta = inject_meta({"progressToken": 7}, host="localhost")
        span = telemetry.span("call").context

        assert meta == {
            "progressToken": 7,
            "traceparent": f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}",
            "baggage": "request_id=r,plan_id=p",
        }

    @pytest.mark.parametrize("host", [None, "mcp.vendor.example"])
    def test_another_one_gets_the_trace(self, telemetry, propagation, host: str | None) -> None:
        """
        For a server elsewhere, or one that nobody names, ids stay here.
        """
        with correlation.bind(**IDS), trace.get_tracer("t").start_as_current_span("call"):
            assert list(inject_meta(host=host)) == ["traceparent"]

    def test_a_given_context_is_used(self, propagation) -> None:
        """
        The context may be another than the current one.
        """
        assert inject_meta(host="localhost", context=correlation.with_ids(Context(), plan_id="p")) == {
            "baggage": "plan_id=p"
        }

    def test_a_meta_that_takes_nothing_is_a_contained_fault(
        self, propagation, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """
        A mapping that cannot be written is returned as it is.
        """
        frozen = SimpleNamespace()

        assert inject_meta(frozen, host="localhost", context=correlation.with_ids(Context(), plan_id="p")) is frozen
        assert contain._faults.pop("mcp.inject") == 1


class TestExtract:
    @pytest.mark.parametrize(
        "meta",
        [
            {"traceparent": TRACEPARENT, "baggage": "plan_id=p,request_id=r,tenant=7"},
            SimpleNamespace(traceparent=TRACEPARENT, baggage="plan_id=p,request_id=r,tenant=7"),
            SimpleNamespace(model_extra={"traceparent": TRACEPARENT, "baggage": "plan_id=p,request_id=r,tenant=7"}),
        ],
        ids=["mapping", "object", "model"],
    )
    def test_what_was_injected_comes_out(self, propagation, meta: object) -> None:
        """
        A mapping, an object and a pydantic model with extra fields are all read.
        """
        context = extract_meta(meta)

        assert dict(correlation.ids(context)) == IDS
        assert baggage.get_baggage("tenant", context) == "7"
        assert trace.get_current_span(context).get_span_context().trace_id == int("1" * 32, 16)

    def test_an_id_is_made_when_none_came(self, propagation) -> None:
        """
        A request without `_meta` gets a request id, as any other does.
        """
        assert len(correlation.ids(extract_meta(None))["request_id"]) == 32
        assert correlation.ids(extract_meta(None, correlation.with_ids(Context(), request_id="r")))["request_id"] == "r"

    def test_it_does_not_read_what_is_too_long_or_no_text(self, propagation) -> None:
        """
        A field of another type, or of more than 8192 characters, is as good as none.
        """
        context = extract_meta({"traceparent": 7, "baggage": "plan_id=p," + "x" * 9000})

        assert set(correlation.ids(context)) == {"request_id"}

    def test_an_object_that_raises_is_a_contained_fault(self, propagation, capsys: pytest.CaptureFixture[str]) -> None:
        """
        Attributes that raise cost the context only.
        """

        class Hostile:
            @property
            def model_extra(self) -> object:
                raise RuntimeError("no")

        given = correlation.with_ids(Context(), plan_id="p")

        assert extract_meta(Hostile(), given) is given
        assert contain._faults.pop("mcp.extract") == 1

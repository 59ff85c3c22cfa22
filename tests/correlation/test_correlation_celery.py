"""The propagators' part in Celery: what a task's headers carry."""

from types import SimpleNamespace

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

from tachograph import correlation
from tachograph.sampling import RecordingSampler

celery = pytest.importorskip("opentelemetry.instrumentation.celery", reason="the extra `celery` is not installed")


class TestTaskHeaders:
    @pytest.mark.parametrize("sampled", [True, False])
    def test_a_task_gets_what_its_sender_had(self, propagation, sampled: bool) -> None:
        """
        Sampled or not, a task's headers carry trace, ids and baggage, and the worker reads them back.
        """
        provider = TracerProvider(sampler=None if sampled else RecordingSampler(ALWAYS_OFF), shutdown_on_exit=False)
        span = provider.get_tracer("t").start_span("apply_async/work", kind=SpanKind.PRODUCER)
        headers = {"task": "work", "retries": 0, "timelimit": (None, 3)}
        with trace.use_span(span), correlation.bind(request_id="r", plan_id="p"):
            propagate.inject(headers, baggage.set_baggage("tenant", "7"))
        context = propagate.extract(SimpleNamespace(**headers), getter=celery.celery_getter)

        assert dict(correlation.ids(context)) == {"request_id": "r", "plan_id": "p"}
        assert baggage.get_baggage("tenant", context) == "7"
        assert trace.get_current_span(context).get_span_context().span_id == span.get_span_context().span_id

    def test_a_task_that_nobody_traced_gets_an_id(self, propagation) -> None:
        """
        A message without headers of ours, or with nonsense under their names, is work with a new request id.
        """
        request = SimpleNamespace(baggage=7, **{"X-Request-ID": ("a b", None)})
        context = propagate.extract(request, getter=celery.celery_getter)

        assert len(correlation.ids(context)["request_id"]) == 32
        assert propagate.extract(SimpleNamespace(), Context(), celery.celery_getter) != Context()

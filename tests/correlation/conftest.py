"""Propagators as `configure` sets them, and hooks of others' code that are gone after each test."""

from collections.abc import Callable, Iterator

import pytest
from opentelemetry import context as otel_context
from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.instrumentation import propagators
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tachograph import contain, correlation
from tachograph.propagation import RequestIdPropagator, TrustedBaggagePropagator

Undo = Callable[[], None]


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """No test leaves propagators, declared ids, a context or a contained fault behind."""
    textmap, response = propagate.get_global_textmap(), propagators.get_global_response_propagator()
    declared, faults = dict(correlation._declared), contain.faults()
    correlation._declared.clear()
    correlation._declared.update(dict.fromkeys(correlation.OWN_KEYS))
    token = otel_context.attach(Context())
    yield
    otel_context.detach(token)
    propagate.set_global_textmap(textmap)
    propagators.set_global_response_propagator(response)
    correlation._declared.clear()
    correlation._declared.update(declared)
    assert contain.faults() == faults


@pytest.fixture
def propagation() -> CompositePropagator:
    """The global propagators of a process that is configured."""
    made = CompositePropagator(
        [TraceContextTextMapPropagator(), TrustedBaggagePropagator(()), RequestIdPropagator("X-Request-ID", ())]
    )
    propagate.set_global_textmap(made)
    return made


@pytest.fixture
def installed() -> Iterator[Callable[[Undo], None]]:
    """Undo what a test installs."""
    undos: list[Undo] = []
    yield undos.append
    for undo in reversed(undos):
        undo()

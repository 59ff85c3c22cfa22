"""Responses of instrumented servers carry the request id: the global response propagator of the instrumentations."""

from importlib import import_module
from typing import Any

from tachograph.contain import contain
from tachograph.logs.patching import Undo
from tachograph.propagation import ResponsePropagator

# Upstream's module is closed to type checkers by a comment at its top.
_upstream: Any = import_module("opentelemetry.instrumentation.propagators")


class Both:
    """The host's response propagator, and then ours."""

    def __init__(self, theirs: Any, ours: ResponsePropagator) -> None:
        self._theirs = theirs
        self._ours = ours

    def inject(self, carrier: Any, context: Any = None, setter: Any = _upstream.default_setter) -> None:
        """Let both write their headers."""
        self._theirs.inject(carrier, context=context, setter=setter)
        self._ours.inject(carrier, context, setter)


def install(header: str) -> Undo:
    """Write the request id as `header` beside what the host writes; a second call changes nothing."""
    before = _upstream.get_global_response_propagator()
    if isinstance(before, ResponsePropagator | Both):
        return _nothing
    ours = ResponsePropagator(header)
    made = ours if before is None else Both(before, ours)
    _upstream.set_global_response_propagator(made)

    def undo() -> None:
        if _upstream.get_global_response_propagator() is made:
            _upstream.set_global_response_propagator(before)

    return undo


def respond(carrier: Any, setter: Any, ours: ResponsePropagator) -> None:
    """Let the response propagator in force, and in any case `ours`, write onto a response of a helper of ours."""
    with contain("responses.respond"):
        propagator = _upstream.get_global_response_propagator()
        if propagator is not None:
            propagator.inject(carrier, setter=setter)
    ours.inject(carrier)


def _nothing() -> None:
    return None

"""
The trace, the ids and the baggage that a process was started with, in its environment.

Its root spans join that trace, except for those of requests that it serves: a request is not its starter's errand.
"""

from collections.abc import Mapping
from typing import Any

from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter

from tachograph._otel import detach, hook_server_spans
from tachograph.contain import contain
from tachograph.correlation import ids, is_of_starter, of_starter, received
from tachograph.integrations.installing import Once
from tachograph.logs.patching import Undo, together
from tachograph.propagation import header_in_force

REQUEST_ID = "TACHOGRAPH_REQUEST_ID"

_once = Once()


def install(environ: Mapping[str, str]) -> Undo:
    """
    Go on in the context that `environ` holds, if any, and keep what is served out of it.

    Returns how to undo that; a second call changes nothing.
    """
    return _once.install(lambda: together([_hook_servers(), _enter(received(environ, EnvironmentGetter()))]))


def variables(carrier: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that stand for the headers of `carrier`."""
    header = header_in_force()
    return {_name(key, header): value for key, value in carrier.items()}


class EnvironmentGetter(Getter[Mapping[str, str]]):
    """Reads headers from environment variables."""

    def __init__(self, header: str | None = None) -> None:
        self._header = header or header_in_force()

    def get(self, carrier: Mapping[str, str], key: str) -> list[str] | None:
        """Return the value of the variable that stands for the header `key`."""
        value = carrier.get(_name(key, self._header))
        return None if value is None else [value]

    def keys(self, carrier: Mapping[str, str]) -> list[str]:
        """Return every variable's name, in lower case."""
        return [name.lower() for name in carrier]


def _name(header: str, request_id_header: str) -> str:
    if header.lower() == request_id_header.lower():
        return REQUEST_ID
    return header.upper().replace("-", "_")


def _carries(context: Context) -> bool:
    spanned = trace.get_current_span(context).get_span_context().is_valid
    return spanned or bool(ids(context)) or bool(baggage.get_all(context))


def _enter(context: Context) -> Undo:
    if not _carries(context):
        return _nothing
    token = otel_context.attach(of_starter(context))
    return lambda: detach(token)


def _hook_servers() -> Undo:
    def serves(original: Any) -> Any:
        """Start a request's span outside of the starter's context, to which the caller's token leads back."""

        def start(*args: Any, **kwargs: Any) -> Any:
            if not is_of_starter():
                return original(*args, **kwargs)
            before = otel_context.attach(Context())
            span, _token = original(*args, **kwargs)
            return span, before

        return start

    with contain("environment.servers"):
        return hook_server_spans(serves)
    return _nothing


def _nothing() -> None:
    return None

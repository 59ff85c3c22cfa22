"""
The ids of a run: bound to the OpenTelemetry context, so that they follow threads, tasks and callbacks as spans do.

An id has one spelling everywhere: `request_id`, `plan_id`, `run_id`, `task_id`, `agent_id`, `gen_ai.conversation.id`,
and whatever an application declares.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType, ModuleType
from typing import Any, Generic, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

from tachograph._otel import detach
from tachograph.contain import contain
from tachograph.errors import DeclarationError

T = TypeVar("T")

REQUEST_ID = "request_id"
OWN_KEYS = (REQUEST_ID, "plan_id", "run_id", "task_id", "agent_id", "gen_ai.conversation.id")
DECLARED_LIMIT = 32

_IDS_KEY = "tachograph.ids"
_AGENT_KEY = "tachograph.agent"
_RECEIVER_KEY = "tachograph.receiver"
_RECEIVED_KEY = "tachograph.received"
_STARTER_KEY = "tachograph.starter"
_HERE = "localhost"
_RESERVED = ("trace_id", "span_id", "trace_flags", "service", "timestamp", "level", "logger", "event", "message")
_NONE: Mapping[str, str] = MappingProxyType({})
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}\Z")
_KEY = re.compile(r"[a-z][a-z0-9_.]{0,62}[a-z0-9]\Z")

_declared: dict[str, None] = dict.fromkeys(OWN_KEYS)


def declare(*keys: str) -> None:
    """
    Declare ids of the application, such as `delivery_id`: those of an incoming request are taken over from now on.

    Raises DeclarationError for a key that is no lower-case word, is taken, or is one too many.
    """
    for key in keys:
        if _KEY.match(key) is None or key in _RESERVED:
            raise DeclarationError(f"{key[:80]!r} cannot be the name of an id; write it like delivery_id")
        if key not in _declared and len(_declared) >= len(OWN_KEYS) + DECLARED_LIMIT:
            raise DeclarationError(f"{key!r} is one id too many; at most {DECLARED_LIMIT} can be declared")
        _declared[key] = None


def declared() -> tuple[str, ...]:
    """Return the names of the ids that are taken over from an incoming request."""
    return tuple(_declared)


def ids(context: Context | None = None) -> Mapping[str, str]:
    """Return the correlation ids in force in `context` (default: the current one); read-only, possibly empty."""
    found = otel_context.get_value(_IDS_KEY, context)
    return found if isinstance(found, Mapping) else _NONE


def agent(context: Context | None = None) -> str | None:
    """Return the name of the nearest agent around `context`, or None."""
    found = otel_context.get_value(_AGENT_KEY, context)
    return found if isinstance(found, str) else None


def with_ids(context: Context | None = None, /, **values: str | None) -> Context:
    """Return `context` with these ids added to those in force; a value of None adds nothing."""
    given = {key: text for key, value in values.items() if (text := _text(value)) is not None}
    if not given:
        return otel_context.get_current() if context is None else context

    return otel_context.set_value(_IDS_KEY, MappingProxyType({**ids(context), **given}), context)


def with_agent(name: str, context: Context | None = None) -> Context:
    """Return `context` with `name` as the nearest agent."""
    return otel_context.set_value(_AGENT_KEY, name, context)


@contextmanager
def bind(**values: str | None) -> Iterator[None]:
    """Bind ids for the block: every span, log line and audit record made in it carries them."""
    with within(with_ids(**values)):
        yield


def carry(item: T) -> "Carried[T]":
    """
    Wrap an item for a queue with the context in force, so that its consumer can go on in it: see `carried`.

    Pickled, for a queue between processes, it keeps the trace, the ids and the baggage.
    """
    return Carried(item, otel_context.get_current())


@contextmanager
def carried(item: "Carried[T] | T") -> Iterator[T]:
    """Yield the item that `carry` wrapped, in its producer's context; one that nobody wrapped is yielded as it is."""
    if not isinstance(item, Carried):
        yield item
        return

    with within(item.context):
        yield item.item


class Carried(Generic[T]):
    """An item of a queue and the context that it was put in."""

    __slots__ = ("context", "item")

    def __init__(self, item: T, context: Context) -> None:
        self.item = item
        self.context = context

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, dict[str, str]]]:
        return _unpickled, (self.item, carrier(self.context))


def carrier(context: Context | None = None) -> dict[str, str]:
    """Return what propagators write for a process of our own: the trace, the ids and the baggage of `context`."""
    written: dict[str, str] = {}
    with contain("correlation.carrier"):
        _propagate().inject(written, toward(_HERE, context))
    return written


def received(carrier: Any, getter: Any = None) -> Context:
    """Return the context that a carrier of our own holds; unlike a server's, it gets no id where it has none."""
    empty = otel_context.set_value(_RECEIVED_KEY, True, Context())
    with contain("correlation.received"):
        extract = _propagate().extract
        found = extract(carrier, empty) if getter is None else extract(carrier, empty, getter)
        return otel_context.set_value(_RECEIVED_KEY, None, found)
    return Context()


def _propagate() -> ModuleType:
    """Return `opentelemetry.propagate`, whose import reads settings."""
    from opentelemetry import propagate

    return propagate


def is_received(context: Context | None) -> bool:
    """Tell whether `context` is being read by `received`, where no id is made."""
    return context is not None and context.get(_RECEIVED_KEY) is True


def of_starter(context: Context) -> Context:
    """Return `context` marked as that of whoever started this process, which is not that of a request it serves."""
    return otel_context.set_value(_STARTER_KEY, True, context)


def is_of_starter() -> bool:
    """Tell whether the current context is the starter's, with no span of this process opened since."""
    started = otel_context.get_value(_STARTER_KEY) is True
    return started and trace.get_current_span().get_span_context().is_remote


def toward(host: str, context: Context | None = None) -> Context:
    """Return `context` with `host` as the receiver of what is injected, for a call that no client span names."""
    return otel_context.set_value(_RECEIVER_KEY, host, context)


def receiver(context: Context | None = None) -> str | None:
    """Return the receiver that `toward` named, or None."""
    found = otel_context.get_value(_RECEIVER_KEY, context)
    return found if isinstance(found, str) else None


@contextmanager
def within(context: Context) -> Iterator[None]:
    """Make `context` the current one for the block."""
    token = otel_context.attach(context)
    try:
        yield
    finally:
        detach(token)


def is_safe_id(value: str) -> bool:
    """Tell whether an id from outside may be kept: short, and of an alphabet that cannot forge a log line."""
    return _SAFE_ID.match(value) is not None


def new_id() -> str:
    """Make a request id: 32 hex digits, independent of the state of `random`."""
    return secrets.token_hex(16)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    with contain("correlation.bind"):
        return str(value)
    return None


def _unpickled(item: object, carrier: dict[str, str]) -> "Carried[object]":
    return Carried(item, received(carrier))

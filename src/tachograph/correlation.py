"""
The ids of a run: bound to the OpenTelemetry context, so that they follow threads, tasks and callbacks as spans do.

An id has one spelling everywhere: `request_id`, `plan_id`, `run_id`, `task_id`, `agent_id`, `gen_ai.conversation.id`.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from tachograph._otel import detach

REQUEST_ID = "request_id"

_IDS_KEY = "tachograph.ids"
_AGENT_KEY = "tachograph.agent"
_NONE: Mapping[str, str] = MappingProxyType({})
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}\Z")


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
    given = {key: value for key, value in values.items() if value is not None}
    if not given:
        return otel_context.get_current() if context is None else context

    return otel_context.set_value(_IDS_KEY, MappingProxyType({**ids(context), **given}), context)


def with_agent(name: str, context: Context | None = None) -> Context:
    """Return `context` with `name` as the nearest agent."""
    return otel_context.set_value(_AGENT_KEY, name, context)


@contextmanager
def bind(**values: str) -> Iterator[None]:
    """Bind ids for the block: every span, log line and audit record made in it carries them."""
    token = otel_context.attach(with_ids(**values))
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

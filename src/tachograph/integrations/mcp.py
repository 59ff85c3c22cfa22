"""
The Model Context Protocol: trace and ids in `_meta` of a request's `params`.

The keys are `traceparent`, `tracestate` and `baggage`, as the semantic conventions for MCP have them; the request id
travels in the baggage.
"""

from collections.abc import Mapping, MutableMapping
from typing import Any

from opentelemetry import propagate
from opentelemetry.context import Context

from tachograph.contain import contain
from tachograph.correlation import toward

_FIELDS = ("traceparent", "tracestate", "baggage")
_LENGTH = 8192


def inject_meta(
    meta: MutableMapping[str, Any] | None = None, *, host: str | None = None, context: Context | None = None
) -> MutableMapping[str, Any]:
    """
    Write the trace into `meta` (default: a new one) and return it; ids and baggage too when `host` is trusted.

    `host` is where the server is, `localhost` for one behind stdio; without it the current client span names the host,
    and where none does, no ids leave.
    """
    found: MutableMapping[str, Any] = {} if meta is None else meta
    with contain("mcp.inject"):
        written: dict[str, str] = {}
        propagate.inject(written, context if host is None else toward(host, context))
        found.update({key: value for key, value in written.items() if key in _FIELDS})
    return found


def extract_meta(meta: object, context: Context | None = None) -> Context:
    """Return the context that a request's `_meta` carries: a mapping, an object with attributes, or None."""
    with contain("mcp.extract"):
        return propagate.extract(_texts(meta), Context() if context is None else context)
    return Context() if context is None else context


def _texts(meta: object) -> dict[str, str]:
    """Return the fields of `meta` that are texts of a sane length, whether it is a mapping or a model."""
    extra = getattr(meta, "model_extra", None)
    sources = [each for each in (meta, extra) if isinstance(each, Mapping)]
    found = {field: _field(meta, sources, field) for field in _FIELDS}
    return {key: value for key, value in found.items() if isinstance(value, str) and len(value) <= _LENGTH}


def _field(meta: object, sources: list[Mapping[Any, Any]], field: str) -> object:
    for source in sources:
        if field in source:
            return source[field]
    return getattr(meta, field, None)

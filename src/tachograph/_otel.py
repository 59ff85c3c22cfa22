"""The only module that touches OpenTelemetry's underscored or incubating paths, each detected before it is used."""

import inspect
import sys
import threading
from collections.abc import Callable
from contextvars import Token
from importlib import metadata
from typing import IO, TYPE_CHECKING, Any

from opentelemetry import context as _context

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
    from opentelemetry.sdk._logs.export import LogRecordExporter


def detach(token: Token[Any]) -> None:
    """Detach without upstream's "Failed to detach context" log: a token of another context is simply left alone."""
    runtime = getattr(_context, "_RUNTIME_CONTEXT", None)
    if runtime is None:
        _context.detach(token)
        return

    try:
        runtime.detach(token)
    except (ValueError, RuntimeError):  # made in another context, or already used
        return


def file_log_exporter(stream: IO[str]) -> "LogRecordExporter":
    """Make upstream's OTLP-JSON-file exporter for log records, which its package does not name in public."""
    from opentelemetry.exporter.otlp.json.file._log_exporter import FileLogExporter

    return FileLogExporter(stream=stream)


def otlp_log_exporter(**options: Any) -> "LogRecordExporter":
    """Make upstream's OTLP exporter for log records, which stands in an underscored module."""
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    return OTLPLogExporter(**options)


def put_first(provider: "LoggerProvider", processor: "LogRecordProcessor") -> bool:
    """Make `processor` the first of a provider that somebody else built; False when it could only be made the last."""
    provider.add_log_record_processor(processor)
    several: Any = getattr(provider, "_multi_log_record_processor", None)
    processors = getattr(several, "_log_record_processors", None)
    if not isinstance(processors, tuple) or processors[-1:] != (processor,):
        return False

    several._log_record_processors = (processor, *processors[:-1])
    return True


def versions() -> dict[str, str]:
    """Return the installed versions of OpenTelemetry's distributions, by name."""
    found = ((each.metadata["Name"], each.version) for each in metadata.distributions())
    return {name: version for name, version in sorted(found) if name and name.startswith("opentelemetry-")}


def cardinality_limits(reader: type, limit: int) -> dict[str, Any]:
    """Return the keyword arguments that limit the series of `reader`, none where the SDK has no such limits yet."""
    from opentelemetry.sdk import metrics

    if "cardinality_limits" not in inspect.signature(reader).parameters:
        return {}
    kinds = ("Counter", "UpDownCounter", "Histogram", "ObservableCounter", "ObservableUpDownCounter", "ObservableGauge")
    return {"cardinality_limits": {getattr(metrics, kind): limit for kind in kinds}}


def hook_server_spans(make: Callable[[Any], Any]) -> Callable[[], None]:
    """Put `make(original)` in place of what upstream's instrumentations start a request's span with; returns undo."""
    from opentelemetry.instrumentation import utils

    name = "_start_internal_or_server_span"
    original = getattr(utils, name, None)
    if original is None:
        return lambda: None
    ours = make(original)

    def put(before: Any, after: Any) -> None:
        for module, loaded in list(sys.modules.items()):
            if module.startswith("opentelemetry.instrumentation.") and getattr(loaded, name, None) is before:
                setattr(loaded, name, after)

    put(original, ours)
    return lambda: put(ours, original)


def take_transport(exporter: object, fresh: object) -> None:
    """Give `exporter` the connection of `fresh`, an exporter of the same kind: a forked child must not share one."""
    for name in ("_client", "_session"):
        if hasattr(fresh, name):
            setattr(exporter, name, getattr(fresh, name))


def renew_export_lock(reader: object) -> None:
    """Give a periodic reader a lock that nobody holds: upstream renews its thread after a fork and forgets this."""
    if hasattr(reader, "_export_lock"):
        reader._export_lock = threading.Lock()


def uncut_log_records() -> dict[str, Any]:
    """Return the arguments that keep a logger provider from cutting attributes before its first processor."""
    from opentelemetry.sdk import _logs

    if "log_record_limits" not in inspect.signature(_logs.LoggerProvider).parameters:
        return {}
    unset = _logs.LogRecordLimits.UNSET
    return {"log_record_limits": _logs.LogRecordLimits(unset, unset, unset, unset)}

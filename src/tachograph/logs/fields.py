"""What a log line and an OpenTelemetry log record carry: pure functions on records, events and values."""

import logging
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType

from tachograph.intake import is_marked

Container = Mapping[object, object] | list[object] | tuple[object, ...]
ErrorInfo = tuple[type[BaseException], BaseException, TracebackType | None]

# What every record has by itself; the last is a second rendering of the message, with terminal colours.
RECORD_NAMES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}

# What the hook adds to a record for format strings; no line and no attribute repeats it.
UPSTREAM_NAMES = ("otelTraceID", "otelSpanID", "otelServiceName", "otelTraceSampled")
SCOPE_NAMES = ("trace_id", "span_id", "trace_flags", "service")
EXCEPTION_NAMES = ("exception.type", "exception.message", "exception.stacktrace")
FORMAT_NAMES = frozenset((*UPSTREAM_NAMES, *SCOPE_NAMES))

_LINE_NAMES = frozenset(("timestamp", "level", "logger", "event"))
_INT64 = range(-(2**63), 2**63)
_DEPTH = 8
_NODES = 10_000


@dataclass(slots=True)
class Entry:
    """One log call, whichever library made it."""

    logger: str
    level: int
    level_name: str
    body: str
    nanos: int
    fields: Mapping[str, object] = field(default_factory=dict)
    error: ErrorInfo | None = None
    thread: str = ""

    @property
    def audit(self) -> bool:
        """Whether the app marked the entry for the audit journal."""
        return is_audit(self.fields)


def is_audit(fields: object) -> bool:
    """Tell whether these fields mark a log call for the audit journal."""
    return isinstance(fields, Mapping) and is_marked(fields.get("audit"))


def from_record(record: logging.LogRecord, added: frozenset[str] = FORMAT_NAMES) -> Entry:
    """Read a stdlib record; `added` are the names in it that are not the app's own."""
    fields = record_fields(record, added)
    if record.stack_info:
        fields["code.stacktrace"] = record.stack_info
    if record.exc_text and not record.exc_info:
        fields["exception.stacktrace"] = record.exc_text
    return Entry(
        logger=text(record.name),
        level=record.levelno,
        level_name=text(record.levelname),
        body=message(record),
        nanos=int(record.created * 1e9),
        fields=fields,
        error=error_info(record.exc_info),
        thread=record.threadName or "",
    )


def record_fields(record: logging.LogRecord, added: frozenset[str] = frozenset()) -> dict[str, object]:
    """Return what the app, its filters and its factories put on a record."""
    own = _not_the_apps(added)
    return {key: value for key, value in record.__dict__.items() if key not in own}


@lru_cache(maxsize=64)
def _not_the_apps(added: frozenset[str]) -> frozenset[str]:
    return RECORD_NAMES.union(UPSTREAM_NAMES, added)


def message(record: logging.LogRecord) -> str:
    """Return the record's message; one that cannot be formatted is shown beside its arguments."""
    try:
        return clean(record.getMessage())
    except Exception:  # noqa: BLE001 - the app's format string and values decide what is raised here
        return f"{text(record.msg)} {text(record.args)}"


def interpolate(event: object, args: tuple[object, ...]) -> object:
    """Format a structlog event with its positional arguments, as structlog does but never raising."""
    if not args:
        return event

    only = args[0] if len(args) == 1 else None
    try:
        return text(event) % (only if isinstance(only, Mapping) and only else args)
    except Exception:  # noqa: BLE001 - as in `message`
        return f"{text(event)} {text(args)}"


def error_info(value: object) -> ErrorInfo | None:
    """Read an `exc_info` argument: True, an exception or a tuple; None when it names no exception."""
    if not value:
        return None
    if isinstance(value, BaseException):
        return type(value), value, value.__traceback__

    found = value if isinstance(value, tuple) else sys.exc_info()
    if len(found) != 3 or not isinstance(found[1], BaseException):
        return None
    return type(found[1]), found[1], found[2]


def exception_fields(error: ErrorInfo | None) -> dict[str, str]:
    """Describe an exception: its qualified type, `str()` of it, and its stack trace."""
    if error is None:
        return {}

    kind, value, trace = error
    described = (_qualified(kind), text(value), _stacktrace(kind, value, trace))
    return dict(zip(EXCEPTION_NAMES, described, strict=True))


def line(head: Mapping[str, object], leading: Iterable[str], fields: dict[str, object]) -> dict[str, object]:
    """
    Put a line in order: `head`, then the `leading` fields that are not empty, then the others.

    A field with the name of one of the line's own gets an underscore behind it.
    """
    first = {key: fields.pop(key) for key in leading if key in fields}
    lined = {**head, **{key: value for key, value in first.items() if value not in (None, "")}}
    for key, value in fields.items():
        lined[f"{key}_" if key in _LINE_NAMES else key] = value
    return lined


def iso(nanos: int) -> str:
    """Write a time in ISO 8601 UTC with microseconds."""
    seconds, rest = divmod(nanos, 1_000_000_000)
    return f"{_second(seconds)}.{rest // 1000:06d}Z"


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def clean(value: str) -> str:
    """Return `value` as text that UTF-8 can carry: a lone surrogate becomes a question mark."""
    if value.isascii():
        return value
    return value.encode("utf-8", "replace").decode("utf-8")


def text(value: object) -> str:
    """Return `str(value)` as clean text, or the type in angle brackets when it has none."""
    try:
        return clean(str.__str__(value) if isinstance(value, str) else str(value))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - `__str__` is the app's code
        return f"<{type(value).__qualname__}>"


def plain(value: object) -> object:
    """
    Return `value` as OpenTelemetry and JSON can carry it.

    Text, numbers, bytes, sequences and mappings are kept; everything else becomes text. A value without end is cut.
    """
    return _plain(value, _DEPTH, [_NODES])


def uniform(value: object) -> object:
    """
    Return a plain value as every release of the SDK takes it for an attribute.

    The elements of a sequence are of one type, and names are not empty; the oldest drop the whole value otherwise.
    """
    if isinstance(value, dict):
        return {key or "_": uniform(item) for key, item in value.items()}
    if isinstance(value, list):
        return _alike([uniform(item) for item in value])
    return value


def _alike(items: list[object]) -> list[object]:
    kinds = {type(item) for item in items} - {type(None)}
    if len(kinds) < 2:
        return items
    if kinds == {int, float}:
        return [float(item) if isinstance(item, int) else item for item in items]
    return [None if item is None else text(item) for item in items]


def _plain(value: object, depth: int, left: list[int]) -> object:
    left[0] -= 1
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, (bool, bytes)):
        return value
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, (dict, list, tuple, Mapping)):
        return _container(value, depth, left)
    return text(value)


def _number(value: int | float) -> object:  # noqa: PYI041 - they are told apart here
    if isinstance(value, int):
        return int(value) if value in _INT64 else text(value)
    return float(value)


def _container(value: Container, depth: int, left: list[int]) -> object:
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        return {text(key): _plain(item, depth - 1, left) for key, item in value.items() if left[0] > 0}
    return [_plain(item, depth - 1, left) for item in value if left[0] > 0]


def _qualified(kind: type[BaseException]) -> str:
    name = clean(kind.__qualname__)
    return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"


def _stacktrace(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> str:
    try:
        return clean("".join(traceback.format_exception(kind, value, trace)))
    except Exception:  # noqa: BLE001 - formatting calls the exception's own code
        return f"{_qualified(kind)}: {text(value)}"

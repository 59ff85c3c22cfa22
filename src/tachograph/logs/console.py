"""Console lines, as JSON or as text, and the handler that writes them to stderr."""

import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal, TextIO

import orjson

from tachograph import correlation
from tachograph.contain import contain
from tachograph.logs import handover
from tachograph.logs.fields import (
    EXCEPTION_NAMES,
    UPSTREAM_NAMES,
    Entry,
    exception_fields,
    from_record,
    iso,
    line,
    plain,
    text,
)

Format = Literal["json", "text"]
Render = Callable[[Mapping[str, object]], bytes]

_LEADING = ("trace_id", "span_id", "service")
_UNSHOWN = frozenset((*UPSTREAM_NAMES, "trace_flags"))
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
_CONTAINERS = (dict, list, tuple)
_HEAD = ("timestamp", "level", "logger", "event", *EXCEPTION_NAMES)


def default_format(stream: TextIO | None) -> Format:
    """Choose text for a terminal and JSON for everything else."""
    try:
        return "text" if stream is not None and stream.isatty() else "json"
    except (AttributeError, ValueError):  # a stand-in without the method, or a closed stream
        return "json"


def renderer(form: Format) -> Render:
    """Return what turns an ordered line into bytes without its line break."""
    return json_line if form == "json" else text_line


def ordered(entry: Entry, service: str) -> dict[str, object]:
    """Return the line of `entry`, whose fields already carry the ids in force."""
    head = {
        "timestamp": iso(entry.nanos),
        "level": entry.level_name.lower(),
        "logger": entry.logger,
        "event": entry.body,
    }
    fields = {"service": service, **entry.fields, **exception_fields(entry.error)}
    return line(head, (*_LEADING, *correlation.ids()), fields)


def json_line(lined: Mapping[str, object]) -> bytes:
    """Render a line as one JSON object; a value that JSON cannot carry is shown as text."""
    bounded = {key: plain(value) if isinstance(value, _CONTAINERS) else value for key, value in lined.items()}
    try:
        return orjson.dumps(bounded, default=text)
    except TypeError:  # a lone surrogate, a huge integer, a name that is no text
        return orjson.dumps(plain(bounded), default=text)


def text_line(lined: Mapping[str, object]) -> bytes:
    """Render a line for people: time, level, logger, event, `key=value`, and the stack trace below."""
    rest = " ".join(f"{key}={_value(value)}" for key, value in lined.items() if key not in _HEAD)
    head = f"{lined['timestamp']} {text(lined['level']):<8} {lined['logger']}  {text(lined['event'])}"
    trace = text(lined.get("exception.stacktrace", "")).rstrip()
    return _printable("\n".join(filter(None, (f"{head}  {rest}".rstrip(), trace)))).encode()


class Console(logging.Handler):
    """Writes lines to whatever `sys.stderr` is at that moment, as `logging.lastResort` does."""

    def __init__(self, service: str, form: Format, level: int) -> None:
        super().__init__(level)
        self._service = service
        self._render = renderer(form)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of a record."""
        with contain("logs.console"):
            self.write(self.rendered(_shown(record)))

    def rendered(self, entry: Entry) -> bytes:
        """Return the line of an entry, without its line break."""
        return self._render(ordered(entry, self._service))

    def write(self, rendered: bytes) -> None:
        """Write one line in one piece; a stderr that is closed or gone takes nothing."""
        self.acquire()
        try:
            _write(sys.stderr, rendered + b"\n")
        finally:
            self.release()


def _shown(record: logging.LogRecord) -> Entry:
    entry = from_record(record, _UNSHOWN)
    offered = handover.peek(record.msg)
    if offered is None or offered.entry is None:
        return entry
    ids = {key: value for key, value in entry.fields.items() if key in (*_LEADING, *correlation.ids())}
    return replace(entry, body=offered.entry.body, fields={**ids, **offered.entry.fields}, error=offered.entry.error)


def _write(stream: TextIO | None, data: bytes) -> None:
    try:
        _put(stream, data)
    except (OSError, ValueError):  # closed, or nobody reads any more
        return


def _put(stream: TextIO | None, data: bytes) -> None:
    if stream is None:
        return
    stream.flush()
    buffer = getattr(stream, "buffer", None)
    if buffer is None:
        stream.write(data.decode())
    else:
        buffer.write(data)
    stream.flush()


def _value(value: object) -> str:
    shown = text(value) if isinstance(value, str) else json_line({"": value})[4:-1].decode()
    return shown if shown.isprintable() and " " not in shown and shown else orjson.dumps(shown).decode()


def _printable(shown: str) -> str:
    return shown.translate(_CONTROLS).replace("\n", "\n    ")

"""The hooks in structlog, and the configuration of an app that has none of its own."""

import logging
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from types import FrameType
from typing import Any

import structlog
from structlog import BoundLoggerBase, DropEvent

from tachograph import intake
from tachograph.contain import contain
from tachograph.intake import is_marked
from tachograph.logs import handover, pipeline, scope
from tachograph.logs.console import Console
from tachograph.logs.fields import Entry, ErrorInfo, error_info, interpolate, text
from tachograph.logs.patching import Undo, replace, together

EventDict = MutableMapping[str, Any]
Result = tuple[Any, Any]

_LEVELS = {
    "debug": logging.DEBUG,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "err": logging.ERROR,
    "error": logging.ERROR,
    "exception": logging.ERROR,
    "failure": logging.ERROR,
    "fatal": logging.CRITICAL,
    "critical": logging.CRITICAL,
}
_METHODS = ("debug", "info", "msg", "warning", "warn", "error", "critical", "fatal")
_SAME_ASYNC = {"fatal": "acritical"}  # older releases of structlog log `afatal` as an error
_RENDERING = frozenset(("timestamp", "level", "log_level", "level_number", "logger", "logger_name", "message", "stack"))
_NEVER_FIELDS = frozenset(("event", "exc_info", "stack_info", "positional_args", "_record", "_from_structlog"))
_NOT_CALLERS = ("structlog", "tachograph.logs")

# Every key that was ever bound with structlog.contextvars; reading them all is dear, so an empty one saves it.
_EVER_BOUND: Mapping[str, object] = getattr(structlog.contextvars, "_CONTEXT_VARS", {"": None})
_ASYNC_CALLER = getattr(structlog.contextvars, "_ASYNC_CALLING_STACK", None)

# Every method of this class is live; its level is decided where the chain is known.
_Base: type[Any] = structlog.make_filtering_bound_logger(logging.NOTSET)


class Output:
    """
    What our configuration wraps: writes a line of ours to the console, and any other text to stdout.

    The second is what structlog does by default; it serves an app that later configures processors only.
    """

    def __init__(self, name: str, given: tuple[object, ...], console: Console) -> None:
        self.name = name
        self.given = given
        self.console = console

    def msg(self, rendered: str | bytes) -> None:
        """Write one line."""
        if isinstance(rendered, bytes):
            self.console.write(rendered)
        else:
            print(rendered, flush=True)  # noqa: T201 - as structlog's own PrintLogger

    log = debug = info = warn = warning = err = error = critical = exception = failure = fatal = msg


class Line:
    """Our whole processor chain in one step: ids, bound context, export and the rendered line."""

    def __init__(self, service: str, console: Console) -> None:
        self._service = service
        self._console = console

    def __call__(self, logger: object, method_name: str, event_dict: EventDict) -> str | bytes:
        """Export an event, unless stdlib logging is about to, and render it."""
        entry = bound_entry(logger, method_name, event_dict)
        if not isinstance(logger, Output):
            return self._rendered(entry).decode()
        rendered = b""
        with contain("logs.structlog"):
            rendered = self._rendered(entry)
        pipeline.emit(entry)
        return rendered

    def _rendered(self, entry: Entry) -> bytes:
        shown = {**scope.current().ids(), **entry.fields}
        return self._console.rendered(
            Entry(entry.logger, entry.level, entry.level_name, entry.body, entry.nanos, shown, entry.error)
        )


class Settings:
    """Our structlog configuration, and whether it is the one in force."""

    def __init__(self, service: str, level: int, console: Console) -> None:
        self.level = level
        self.line = Line(service, console)
        self.chain: list[Any] = [self.line]
        self.wrapper = _wrapper(self)
        self.factory = _factory(console)

    def parts(self) -> dict[str, Any]:
        """Return the arguments of `structlog.configure`."""
        return {
            "processors": self.chain,
            "wrapper_class": self.wrapper,
            "logger_factory": self.factory,
            "cache_logger_on_first_use": True,
        }

    def renders(self, processors: object) -> bool:
        """Tell whether `processors` is our chain, untouched by `structlog.testing.capture_logs`."""
        return processors is self.chain and len(self.chain) == 1 and self.chain[0] is self.line

    def replaced(self) -> bool:
        """Tell whether the app has configured processors since."""
        return structlog.get_config()["processors"] is not self.chain


class Taps:
    """What the functions put into structlog do; they stand aside once `live` is False."""

    def __init__(self, settings: Settings) -> None:
        self.live = True
        self._settings = settings

    def stop(self) -> None:
        """Stand aside."""
        self.live = False

    def passes(self, logger: BoundLoggerBase) -> bool:
        """Tell whether a call needs nothing from us here."""
        ours = isinstance(logger._logger, Output) and self._settings.renders(logger._processors)  # noqa: SLF001
        return ours or not self.live

    def added(self, raw: Mapping[str, Any]) -> dict[str, str]:
        """Return the ids that an event gets."""
        return {key: value for key, value in scope.current().ids().items() if key not in _bound(raw)}


class Remainder(Taps):
    """What is left after telemetry has ended: events for the journal go there, and none gets anything added."""

    def __init__(self) -> None:
        self.live = True

    def passes(self, logger: BoundLoggerBase) -> bool:
        """Tell whether the event is seen elsewhere: a chain of ours that an app's logger has kept sends it itself."""
        ours = any(isinstance(each, Line) for each in logger._processors)  # noqa: SLF001
        return ours or not self.live or not intake.has_journal()

    def added(self, raw: Mapping[str, Any]) -> dict[str, str]:
        """Return nothing."""
        return {}


def install(service: str, level: int, console: Console) -> Undo:
    """Hook structlog, and configure it if the app has not."""
    settings = Settings(service, level, console)
    taps = Taps(settings)
    return together(
        [
            taps.stop,
            *_tap_calls(taps),
            _configure(settings),
        ]
    )


def install_remainder() -> Undo:
    """Keep watching for events that are for the journal."""
    taps = Remainder()
    return together([taps.stop, *_tap_calls(taps)])


def _tap_calls(taps: Taps) -> list[Undo]:
    tapped = _process_event(taps, vars(BoundLoggerBase)["_process_event"])
    return [replace(BoundLoggerBase, "_process_event", tapped), *_listen_below(taps)]


def bound_entry(logger: object, method_name: str, event_dict: Mapping[str, Any]) -> Entry:
    """Read an event whose chain is ours: the fields of the call, the logger and the context."""
    error = _error(method_name, event_dict)
    fields = {key: value for key, value in _bound(event_dict).items() if key not in _NEVER_FIELDS}
    if event_dict.get("stack_info"):
        fields["code.stacktrace"] = _stack(event_dict)
    return _entry(logger, method_name, event_dict.get("event", ""), fields, error)


def _entry(
    logger: object, method_name: str, event: object, fields: Mapping[str, object], error: ErrorInfo | None
) -> Entry:
    level = _LEVELS.get(method_name, logging.INFO)
    return Entry(
        logger=_name(logger, fields),
        level=level,
        level_name=logging.getLevelName(level),
        body=text(event),
        nanos=time.time_ns(),
        fields=fields,
        error=error,
        thread=threading.current_thread().name,
    )


def _process_event(taps: Taps, original: Callable[..., Result]) -> Callable[..., Result]:
    """Add the ids to an event before the app's chain, and export it after, as the chain's renderer got it."""

    def process_event(self: BoundLoggerBase, method_name: str, event: Any, event_kw: dict[str, Any]) -> Result:
        if taps.passes(self):
            return original(self, method_name, event, event_kw)

        raw: dict[str, Any] = {**self._context, **event_kw}
        added: dict[str, str] = {}
        with contain("logs.structlog"):
            added = taps.added(raw)
        tap = Tap(raw, event, _error(method_name, raw), added)
        try:
            result = original(tap.before_renderer(self), method_name, event, {**event_kw, **added})
        except DropEvent:
            with contain("logs.structlog"):
                tap.dropped(self._logger, method_name)
            raise
        with contain("logs.structlog"):
            tap.passed(self._logger, method_name, result)
        return result

    return process_event


class Tap:
    """One event on its way through an app's chain: what went in, and what the renderer got."""

    def __init__(self, raw: dict[str, Any], event: object, error: ErrorInfo | None, added: Mapping[str, str]) -> None:
        self._raw = raw
        self._seen: Mapping[str, Any] = {**raw, "event": event}
        self._error = error
        self._added = added

    def before_renderer(self, logger: BoundLoggerBase) -> BoundLoggerBase:
        """Return the logger with this tap as the last processor but one."""
        *first, last = (*logger._processors,) or (_unrendered,)  # noqa: SLF001
        return BoundLoggerBase(logger._logger, [*first, self, last], logger._context)  # noqa: SLF001

    def __call__(self, _logger: object, _method_name: str, event_dict: Any) -> Any:
        """Keep a copy: renderers take their dict apart."""
        if isinstance(event_dict, Mapping):
            self._seen = dict(event_dict)
        return event_dict

    def passed(self, logger: Any, method_name: str, result: Result) -> None:
        """Export the event, or announce it to stdlib logging when that is where it goes."""
        entry = self._as_entry(logger, method_name)
        carrier = _message(result)
        if not _goes_to_stdlib(logger):
            pipeline.emit(entry)
            handover.offer(carrier, None)
        elif logger.isEnabledFor(entry.level):
            handover.offer(carrier, entry)
        elif entry.audit:
            pipeline.emit(entry)
            handover.offer(carrier, None)

    def dropped(self, logger: Any, method_name: str) -> None:
        """Export an event marked `audit` that was dropped for stdlib's level."""
        entry = self._as_entry(logger, method_name)
        if entry.audit and _goes_to_stdlib(logger) and not logger.isEnabledFor(entry.level):
            pipeline.emit(entry)

    def _as_entry(self, logger: object, method_name: str) -> Entry:
        seen = self._seen
        error = self._error or error_info(seen.get("exc_info"))
        fields = {key: value for key, value in seen.items() if self._is_field(key, error)}
        entry = _entry(logger, method_name, seen.get("event", ""), fields, error)
        named = seen.get("logger")
        if isinstance(named, str) and not _goes_to_stdlib(logger):
            entry.logger = named
        return entry

    def _is_field(self, key: str, error: ErrorInfo | None) -> bool:
        if key in _NEVER_FIELDS or (key in ("trace_id", "span_id") and key in self._added):
            return False
        return key in self._raw or not (key in _RENDERING or (key == "exception" and error is not None))


def _wrapper(settings: Settings) -> type[Any]:
    """Make the bound logger of our configuration: filtered at our level, and following the app's configuration."""

    def proxy_to_logger(self: Any, method_name: str, event: Any = None, **event_kw: Any) -> Any:
        chain = self._processors
        if chain is settings.chain and settings.replaced():
            return getattr(_successor(self), method_name)(event, **event_kw)
        if _LEVELS.get(method_name, logging.INFO) >= settings.level or not settings.renders(chain):
            return _Base._proxy_to_logger(self, method_name, event, **event_kw)  # noqa: SLF001
        return _below(self, method_name, event, event_kw)

    members: dict[str, object] = {name: _method(name) for name in _METHODS}
    members |= {f"a{name}": _async_method(getattr(_Base, _SAME_ASYNC.get(name, f"a{name}"))) for name in _METHODS}
    members["is_enabled_for"] = lambda _self, level: level >= settings.level
    members["get_effective_level"] = lambda _self: settings.level
    return type("Lines", (_Base,), {**members, "_proxy_to_logger": proxy_to_logger})


def _method(name: str) -> Callable[..., Any]:
    def method(self: Any, event: Any = None, *args: Any, **kw: Any) -> Any:
        return self._proxy_to_logger(name, interpolate(event, args), **kw)

    method.__name__ = name
    return method


def _async_method(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def method(self: Any, event: Any = None, *args: Any, **kw: Any) -> Any:
        return await original(self, interpolate(event, args), **kw)

    return method


def _successor(logger: Any) -> Any:
    output = logger._logger  # noqa: SLF001
    given = output.given if isinstance(output, Output) else ()
    return structlog.get_logger(*given).bind(**logger._context)  # noqa: SLF001


def _factory(console: Console) -> Callable[..., Output]:
    def output(*given: object) -> Output:
        return Output(text(given[0]) if given else _caller(), given, console)

    return output


def _configure(settings: Settings) -> Undo:
    if structlog.is_configured():
        return lambda: None

    before = structlog.get_config()
    structlog.configure(**settings.parts())
    _mark_configured(False)

    def undo() -> None:
        configured, now, ours = structlog.is_configured(), structlog.get_config(), settings.parts()
        structlog.configure(**{part: before[part] for part in ours if now[part] is ours[part]})
        _mark_configured(configured)

    return undo


def _mark_configured(value: bool) -> None:
    """Keep `structlog.is_configured()` telling what the app did, for `configure_once` and guards like it."""
    state = getattr(getattr(structlog, "_config", None), "_CONFIG", None)
    if state is not None:
        state.is_configured = value


def _listen_below(taps: Taps) -> list[Undo]:
    """Let the filtering loggers' empty methods look for `audit` before they do nothing."""
    nothing = structlog.make_filtering_bound_logger(logging.CRITICAL)
    levels = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
    return [
        replace(kind, f"{prefix}{name}", make(taps, name))
        for kind in map(structlog.make_filtering_bound_logger, levels)
        for prefix, make in (("", _quiet), ("a", _async_quiet))
        for name in _METHODS
        if vars(kind).get(f"{prefix}{name}") is vars(nothing)[f"{prefix}debug"]
    ]


def _quiet(taps: Taps, name: str) -> Callable[..., None]:
    def quiet(self: Any, event: Any = None, *args: Any, **kw: Any) -> None:
        if taps.live and is_marked(kw.get("audit", self._context.get("audit"))):
            _below(self, name, interpolate(event, args), kw)

    return quiet


def _async_quiet(taps: Taps, name: str) -> Callable[..., Awaitable[None]]:
    look = _quiet(taps, name)

    async def quiet(self: Any, event: Any = None, *args: Any, **kw: Any) -> None:
        look(self, event, *args, **kw)

    return quiet


def _below(logger: Any, method_name: str, event: object, event_kw: Mapping[str, Any]) -> None:
    with contain("logs.below"):
        entry = bound_entry(logger._logger, method_name, {**logger._context, **event_kw, "event": event})  # noqa: SLF001
        if entry.audit:
            pipeline.emit(entry)


def _bound(event_dict: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields with those that `structlog.contextvars` holds behind them."""
    return {**structlog.contextvars.get_contextvars(), **event_dict} if _EVER_BOUND else event_dict


def _error(method_name: str, raw: Mapping[str, Any]) -> ErrorInfo | None:
    return error_info(raw.get("exc_info", method_name == "exception"))


def _goes_to_stdlib(logger: Any) -> bool:
    return isinstance(logger, logging.Logger | logging.LoggerAdapter)


def _message(result: Result) -> object:
    args, kwargs = result
    return args[0] if args else kwargs.get("msg")


def _unrendered(_logger: object, _method_name: str, event_dict: Any) -> Any:
    return event_dict


def _name(logger: Any, fields: Mapping[str, object]) -> str:
    name = getattr(logger, "name", None) or fields.get("logger")
    return text(name) if isinstance(name, str) else _caller()


def _caller() -> str:
    """Return the module that called structlog, wherever structlog moved the call to."""
    moved: FrameType | None = _ASYNC_CALLER.get(None) if _ASYNC_CALLER is not None else None
    frame: FrameType | None = moved or sys._getframe(1)  # noqa: SLF001
    while frame is not None and _module(frame).startswith(_NOT_CALLERS):
        frame = frame.f_back
    return "structlog" if frame is None else _module(frame)


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__") or "?")


def _stack(event_dict: Mapping[str, Any]) -> object:
    return structlog.processors.StackInfoRenderer(["tachograph.logs"])(None, "", {**event_dict}).get("stack")

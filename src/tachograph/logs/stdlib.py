"""The hooks in stdlib `logging`: ids on every record, one export for every record, and the level in force."""

import logging
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, NamedTuple, cast

from tachograph import intake
from tachograph.contain import contain
from tachograph.logs import handover, pipeline, scope, upstream
from tachograph.logs.fields import FORMAT_NAMES, Entry, error_info, from_record, is_audit, message
from tachograph.logs.patching import Undo, replace, together

CallHandlers = Callable[[logging.Logger, logging.LogRecord], None]
IsEnabledFor = Callable[[logging.Logger, int], bool]

# Names that only a record that passed the hook carries all of: such a record is on its way again, from another
# process or back from a queue, and was exported where it was made.
_PASSED = ("trace_flags", "service", "otelServiceName")

_LOG_CALLS = frozenset(
    getattr(method, "__code__", None)
    for method in (
        logging.Logger.debug,
        logging.Logger.info,
        logging.Logger.warning,
        logging.Logger.error,
        logging.Logger.critical,
        logging.Logger.log,
        logging.LoggerAdapter.log,
    )
)
_ADAPTER_CHECK = logging.LoggerAdapter.isEnabledFor.__code__


class LentLevel(int):
    """A root level of ours; the app's own setting is any other object, even one of the same number."""


class Verdict(NamedTuple):
    """What happens to a record: whether handlers see it, whether it is exported, and which names were added."""

    shown: bool = True
    exported: bool = False
    added: frozenset[str] = FORMAT_NAMES


class Hooks:
    """What the functions put into `logging` do; they stand aside once `live` is False."""

    def __init__(self, service: str, level: int) -> None:
        self.live = True
        self.removed: list[tuple[logging.Logger, logging.Handler]] = []
        self.lent: LentLevel | None = None
        self._service = service
        self._level = level

    def lend(self) -> None:
        """Give root the configured level, unless the app has configured logging."""
        root = logging.root
        self.removed += upstream.remove(root)
        if root.level != logging.WARNING or root.handlers:
            return
        self.lent = LentLevel(min(self._level, logging.WARNING))
        root.setLevel(self.lent)

    def stop(self) -> None:
        """Stand aside, and give back what was taken."""
        self.live = False
        if self.lent is not None and logging.root.level is self.lent:
            logging.root.setLevel(logging.WARNING)
        for logger, handler in self.removed:
            logger.addHandler(handler)

    def prepare(self, logger: logging.Logger, record: logging.LogRecord) -> Verdict:
        """Add the ids in force to a record, and decide who gets it."""
        own = record.__dict__
        if all(name in own for name in _PASSED):
            return Verdict()

        self.removed += upstream.remove(logger)
        shown, exported = self._admit(logger, record.levelno)
        return Verdict(shown, exported, enrich(own, self._service))

    def _admit(self, logger: logging.Logger, level: int) -> tuple[bool, bool]:
        """Keep what only our level lets through from handlers of an app that never asked for it."""
        if self.lent is None or logging.root.level is not self.lent or not _levelled_by_root(logger):
            return True, True
        return level >= logging.WARNING or not logger.hasHandlers(), level >= self._level


class Remainder(Hooks):
    """What is left of the hooks after telemetry has ended: records for the journal go there, nothing is changed."""

    def __init__(self) -> None:
        super().__init__("", logging.NOTSET)

    def prepare(self, logger: logging.Logger, record: logging.LogRecord) -> Verdict:
        """Let every handler have the record as it is, and the journal what is for it."""
        own = record.__dict__
        passed = all(name in own for name in _PASSED)
        wanted = intake.has_journal() and (is_audit(own) or handover.peek(record.msg) is not None)
        return Verdict(exported=wanted and not passed, added=frozenset())


def install_remainder() -> Undo:
    """Keep watching for records that are for the journal."""
    hooks = Remainder()
    return together([hooks.stop, *_hook_calls(hooks)])


def _hook_calls(hooks: Hooks) -> list[Undo]:
    return [
        replace(logging.Logger, "callHandlers", _call_handlers(hooks, logging.Logger.callHandlers)),
        replace(logging.Logger, "isEnabledFor", _is_enabled_for(hooks, logging.Logger.isEnabledFor)),
    ]


def install(service: str, level: int, console: logging.Handler) -> Undo:
    """Hook stdlib logging; `console` shows what no handler of the app sees."""
    hooks = Hooks(service, level)
    undos = [
        hooks.stop,
        *_hook_calls(hooks),
        replace(logging, "basicConfig", _basic_config(hooks, logging.basicConfig)),
        *([replace(logging, "lastResort", console)] if _is_stdlibs(logging.lastResort) else []),
    ]
    hooks.lend()
    return together(undos)


def enrich(own: dict[str, object], service: str) -> frozenset[str]:
    """Add the ids in force where the names are free, and return the names that only format strings need."""
    here = scope.current()
    wanted = {
        "trace_id": here.trace_id,
        "span_id": here.span_id,
        "trace_flags": here.trace_flags,
        "service": service,
        "otelTraceID": here.trace_id or "0",
        "otelSpanID": here.span_id or "0",
        "otelTraceSampled": here.trace_flags in ("01", "03"),
        "otelServiceName": service,
    }
    taken = own.keys() & FORMAT_NAMES
    for key, value in (*wanted.items(), *here.correlation.items()):
        own.setdefault(key, value)
    return FORMAT_NAMES - taken if taken else FORMAT_NAMES


def export(record: logging.LogRecord, added: frozenset[str] = frozenset()) -> None:
    """Send a record to OpenTelemetry, as the structlog event that it carries where there is one."""
    offered = handover.take(record.msg)
    if offered is None:
        pipeline.emit(from_record(record, added))
    elif offered.entry is not None:
        pipeline.emit(_carried(record, offered.entry))


def _carried(record: logging.LogRecord, event: Entry) -> Entry:
    event.logger = record.name
    event.thread = record.threadName or ""
    event.error = event.error or error_info(record.exc_info)
    if record.args:
        event.body = message(record)
    return event


def _call_handlers(hooks: Hooks, original: CallHandlers) -> CallHandlers:
    def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
        verdict = Verdict()
        if hooks.live:
            with contain("logs.record"):
                verdict = hooks.prepare(logger, record)
        try:
            if verdict.shown:
                original(logger, record)
        finally:
            if verdict.exported:
                with contain("logs.record"):
                    export(record, verdict.added)

    return call_handlers


def _is_enabled_for(hooks: Hooks, original: IsEnabledFor) -> IsEnabledFor:
    """
    Look at the call that is about to be dropped for its level: marked `audit`, it is recorded all the same.

    Wrapping the log methods instead would put a frame of ours where `findCaller` looks for the app's.
    """

    def is_enabled_for(logger: logging.Logger, level: int) -> bool:
        enabled = original(logger, level)
        if enabled or not hooks.live:
            return enabled
        frame = sys._getframe(1)  # noqa: SLF001 - see above
        if frame.f_code is _ADAPTER_CHECK or (frame.f_code in _LOG_CALLS and frame.f_locals["kwargs"]):
            with contain("logs.below"):
                _record_below(logger, level, frame)
        return enabled

    return is_enabled_for


def _record_below(logger: logging.Logger, level: int, frame: FrameType) -> None:
    call = frame.f_back if frame.f_code is _ADAPTER_CHECK else frame
    if call is None or call.f_code not in _LOG_CALLS:
        return

    kwargs = call.f_locals["kwargs"] if call is frame else _adapted(call.f_locals)
    if is_audit(kwargs.get("extra")):
        export(_made(logger, level, call, kwargs))


def _adapted(given: Mapping[str, Any]) -> Mapping[str, Any]:
    _message, kwargs = given["self"].process(given["msg"], dict(given["kwargs"]))
    return cast("Mapping[str, Any]", kwargs)


def _made(logger: logging.Logger, level: int, call: FrameType, kwargs: Mapping[str, Any]) -> logging.LogRecord:
    given = call.f_locals
    app = _app_frame(call)
    return logger.makeRecord(
        logger.name,
        level,
        app.f_code.co_filename,
        app.f_lineno,
        given["msg"],
        given["args"],
        error_info(kwargs.get("exc_info")),
        app.f_code.co_name,
        kwargs["extra"],
    )


def _app_frame(call: FrameType) -> FrameType:
    frame = call
    while frame.f_code.co_filename == call.f_code.co_filename and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _basic_config(hooks: Hooks, original: Callable[..., None]) -> Callable[..., None]:
    """Leave out the call that `logging.info()` makes by itself, so that the console's lines have one shape."""

    def basic_config(**kwargs: object) -> None:
        by_itself = sys._getframe(1).f_globals is vars(logging)  # noqa: SLF001
        if not (hooks.live and by_itself):
            original(**kwargs)

    return basic_config


def _is_stdlibs(last_resort: logging.Handler | None) -> bool:
    return type(last_resort).__module__ == logging.__name__ and isinstance(last_resort, logging.StreamHandler)


def _levelled_by_root(logger: logging.Logger) -> bool:
    above: logging.Logger | None = logger
    while above is not None and above is not logging.root:
        if above.level:
            return False
        above = above.parent
    return True

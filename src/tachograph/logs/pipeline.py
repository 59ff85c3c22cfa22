"""Where entries leave for OpenTelemetry: the provider in force, asked at every entry, and never in a circle."""

import threading
from collections.abc import Mapping

from opentelemetry import _logs
from opentelemetry._logs import Logger, LoggerProvider, NoOpLogger
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from tachograph import correlation, intake
from tachograph.contain import contain
from tachograph.intake import Slip
from tachograph.logs.fields import Entry
from tachograph.logs.translate import is_audited, to_audit, to_otel

_OWN = frozenset(("opentelemetry", "tachograph"))
_TRANSPORTS = frozenset(
    (
        "urllib3",
        "requests",
        "httpx",
        "httpcore",
        "grpc",
        "aiohttp",
        "botocore",
        "boto3",
        "asyncio",
        "charset_normalizer",
    )
)
_EXPORT_THREADS = ("Otel", "tachograph")


class _Busy(threading.local):
    """Whether this thread is inside `emit`, and inside the journaling of what telemetry itself logs."""

    on = False
    journaling = False


class _Loggers:
    """The OpenTelemetry loggers of one provider by name; None stands for one that records nothing."""

    def __init__(self, provider: LoggerProvider) -> None:
        self.provider = provider
        self._found: dict[str, Logger | None] = {}

    def get(self, name: str) -> Logger | None:
        try:
            return self._found[name]
        except KeyError:
            return self._found.setdefault(name, self._make(name))

    def _make(self, name: str) -> Logger | None:
        logger = None if is_placeholder(self.provider) else self.provider.get_logger(name)
        return None if isinstance(logger, NoOpLogger) else logger


_busy = _Busy()
_ended = threading.Event()
_loggers = _Loggers(_logs.NoOpLoggerProvider())


def emit(entry: Entry) -> None:
    """
    Send `entry` to OpenTelemetry; where nothing there journals what is marked `audit`, send it to the journal.

    Never raises. Of what telemetry itself logs, and of all after `end`, only the journal gets what is marked.
    """
    if _ended.is_set() or _busy.on or _is_own(entry):
        journal(entry)
        return

    _busy.on = True
    try:
        with contain("logs.export"):
            _send(entry)
    finally:
        _busy.on = False


def journal(entry: Entry) -> None:
    """Send `entry` to the journal alone if it is for it; what that logs in turn is ignored. Never raises."""
    if _busy.journaling or not is_audited(entry):
        return

    _busy.journaling = True
    try:
        with contain("logs.audit"):
            intake.submit(to_audit(entry, correlation.ids()))
    finally:
        _busy.journaling = False


def begin() -> None:
    """Let entries go to OpenTelemetry."""
    _ended.clear()


def end() -> None:
    """Let entries go to the journal alone."""
    _ended.set()


def is_placeholder(provider: LoggerProvider) -> bool:
    """Tell whether `provider` is what the API hands out until a real one is set."""
    return type(provider).__name__ == "ProxyLoggerProvider"


def _send(entry: Entry) -> None:
    ids = correlation.ids()
    logger = _in_force().get(entry.logger)
    if is_audited(entry):
        _send_marked(entry, ids, logger)
    elif logger is not None:
        logger.emit(to_otel(entry, ids))


def _send_marked(entry: Entry, ids: Mapping[str, str], logger: Logger | None) -> None:
    """Let the bridge journal it in its turn; it may not be there, or not be reached, whatever fails before it."""
    slip = Slip(to_audit(entry, ids))
    try:
        if logger is not None:
            logger.emit(to_otel(entry, ids, slip))
    finally:
        if (event := slip.take()) is not None:
            intake.submit(event)


def _in_force() -> _Loggers:
    global _loggers
    provider = _logs.get_logger_provider()
    if provider is not _loggers.provider:
        _loggers = _Loggers(provider)
    return _loggers


def _is_own(entry: Entry) -> bool:
    family = entry.logger.partition(".")[0]
    if family in _OWN:
        return True
    if family not in _TRANSPORTS and not entry.thread.startswith(_EXPORT_THREADS):
        return False
    return not is_instrumentation_enabled()

"""Where entries leave for OpenTelemetry: the provider in force, asked at every entry, and never in a circle."""

import threading
from weakref import WeakSet

from opentelemetry import _logs
from opentelemetry._logs import Logger, LoggerProvider, NoOpLogger
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from tachograph import correlation, intake
from tachograph.contain import contain
from tachograph.logs.fields import Entry
from tachograph.logs.translate import to_audit, to_otel

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
    """Whether this thread is inside `emit`."""

    on = False


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


# Providers that cut nothing before the audit bridge.
UNCUT: WeakSet[LoggerProvider] = WeakSet()

_busy = _Busy()
_loggers = _Loggers(_logs.NoOpLoggerProvider())


def emit(entry: Entry) -> None:
    """
    Send `entry` to OpenTelemetry; where that records nothing, send it to the audit journal if it is marked `audit`.

    Never raises, and ignores what telemetry itself logs.
    """
    if _busy.on or _is_own(entry):
        return

    _busy.on = True
    try:
        with contain("logs.export"):
            _send(entry)
    finally:
        _busy.on = False


def is_placeholder(provider: LoggerProvider) -> bool:
    """Tell whether `provider` is what the API hands out until a real one is set."""
    return type(provider).__name__ == "ProxyLoggerProvider"


def _send(entry: Entry) -> None:
    logger = _in_force().get(entry.logger)
    if logger is not None:
        logger.emit(to_otel(entry, correlation.ids(), whole=_loggers.provider in UNCUT))
    elif entry.audit:
        intake.submit(to_audit(entry, correlation.ids()))


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

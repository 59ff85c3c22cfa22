"""Upstream's `LoggingHandler`, which would record a second time what the hook records."""

import logging
from collections.abc import Hashable, Iterator
from functools import cache
from typing import cast

from opentelemetry._logs import get_logger_provider

from tachograph.logs.pipeline import is_placeholder
from tachograph.notices import notice_once


def chain(logger: logging.Logger | None) -> Iterator[logging.Logger]:
    """Yield the loggers whose handlers see a record of `logger`."""
    while logger is not None:
        yield logger
        logger = logger.parent if logger.propagate else None


def remove(logger: logging.Logger) -> list[tuple[logging.Logger, logging.Handler]]:
    """Take upstream's handlers for the provider in force off this logger's chain, and return where they were."""
    found = [(owner, handler) for owner in chain(logger) for handler in owner.handlers if _doubles(handler)]
    for owner, handler in found:
        owner.removeHandler(handler)
        notice_once("logs.upstream", "removed OpenTelemetry's LoggingHandler: tachograph exports every log call itself")
    return found


def _doubles(handler: logging.Handler) -> bool:
    if not _is_upstream(cast("Hashable", type(handler))):
        return False
    provider = getattr(handler, "_logger_provider", None)
    return provider is None or provider is get_logger_provider() or is_placeholder(provider)


@cache
def _is_upstream(kind: Hashable) -> bool:
    return any(_is_its_handler(base) for base in getattr(kind, "__mro__", ()))


def _is_its_handler(kind: type) -> bool:
    return kind.__name__ == "LoggingHandler" and kind.__module__.startswith("opentelemetry.")

"""Switching on what tachograph does for logs, and off again."""

from dataclasses import dataclass

from tachograph.logs import stdlib, structured, uncaught
from tachograph.logs.console import Console, Format
from tachograph.logs.patching import Undo, together


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What lines say and look like: the service, JSON or text, and the lowest level (a number of `logging`)."""

    service: str
    format: Format
    level: int


_installed: Undo | None = None


def install(options: LogOptions) -> Undo:
    """Hook stdlib logging, structlog and uncaught exceptions; return what undoes it. A second call changes nothing."""
    global _installed
    if _installed is None:
        _installed = together([_forget, *_parts(options)])
    return _installed


def _parts(options: LogOptions) -> list[Undo]:
    console = Console(options.service, options.format, options.level)
    return [
        stdlib.install(options.service, options.level, console),
        structured.install(options.service, options.level, console),
        uncaught.install(),
    ]


def _forget() -> None:
    global _installed
    _installed = None

"""Switching on what tachograph does for logs, and off again."""

from dataclasses import dataclass

from tachograph import intake
from tachograph.logs import pipeline, stdlib, structured, uncaught
from tachograph.logs.console import Console, Format
from tachograph.logs.patching import Undo, together


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What lines say and look like: the service, JSON or text, and the lowest level (a number of `logging`)."""

    service: str
    format: Format
    level: int


_installed: Undo | None = None
_remainder: list[Undo] = []


def install(options: LogOptions) -> Undo:
    """
    Hook stdlib logging, structlog and uncaught exceptions; return what undoes it. A second call changes nothing.

    Where a journal is in force when it is undone, records marked `audit` go on reaching it.
    """
    global _installed
    if _installed is None:
        _remove_remainder()
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
    if intake.has_journal():
        _remainder.extend((stdlib.install_remainder(), structured.install_remainder()))
        pipeline.end()


def _remove_remainder() -> None:
    pipeline.begin()
    while _remainder:
        _remainder.pop()()

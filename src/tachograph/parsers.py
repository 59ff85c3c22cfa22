"""Readers of setting values: each takes the text of a variable and raises ValueError saying what to write."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

N = TypeVar("N", int, float)


def text(value: str) -> str:
    """Read any text."""
    return value


def boolean(value: str) -> bool:
    """Read a switch: 1, true, yes or on, and their opposites."""
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if value.lower() not in words:
        raise ValueError("is not a switch; write 1 or 0")
    return words[value.lower()]


def seconds(value: str) -> float:
    """Read a number of seconds, 0 or more."""
    return _number(value, float, "a number of seconds", "2.5")


def interval(value: str) -> float:
    """Read the seconds between two of something, 0.1 or more."""
    return _number(value, float, "a number of seconds of 0.1 or more", "5", least=0.1)


def milliseconds(value: str) -> float:
    """Read a number of milliseconds, 1 or more."""
    return _number(value, float, "a number of milliseconds of 1 or more", "5000", least=1)


def count(value: str) -> int:
    """Read a whole number of 1 or more."""
    return _number(value, int, "a whole number of 1 or more", "2000", least=1)


def size(value: str) -> int:
    """Read a number of bytes."""
    return _number(value, int, "a number of bytes", "268435456")


def port(value: str) -> int:
    """Read a TCP port; 0 lets the system choose."""
    number = _number(value, int, "a port", "9464")
    if number > 65535:
        raise ValueError("is not a port; write it like 9464")
    return number


def sync(value: str) -> float:
    """Seconds that a record may stay unsynced; `always` is 0."""
    if value.lower() == "always":
        return 0.0
    return _number(value, float, "a number of seconds, nor the word always", "1")


def file_mode(value: str) -> int:
    """Read an octal file mode without write permission for group or others."""
    try:
        mode = int(value, 8)
    except ValueError:
        mode = -1
    if not 0o400 <= mode <= 0o777 or mode & 0o022:
        raise ValueError("is not a file mode without group or world write; write it like 0600 or 0640")
    return mode


def format_name(value: str) -> Literal["json", "text"]:
    """Read a log format."""
    if value.lower() == "json":
        return "json"
    if value.lower() == "text":
        return "text"
    raise ValueError("is not a log format; write json or text")


def level(value: str) -> int:
    """Read a log level's name as its number."""
    levels = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "WARN": 30, "ERROR": 40, "CRITICAL": 50}
    if value.upper() not in levels:
        raise ValueError("is not a log level; write DEBUG, INFO, WARNING, ERROR or CRITICAL")
    return levels[value.upper()]


def names(value: str) -> tuple[str, ...]:
    """Read a list separated by commas."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def header_name(value: str) -> str:
    """Read the name of an HTTP header."""
    if not value.replace("-", "").replace("_", "").isalnum() or not value.isascii():
        raise ValueError("is not a header name; write it like X-Request-ID")
    return value


def url(value: str) -> str:
    """Read an http or https URL."""
    if any(character in value for character in "\r\n\t "):
        raise ValueError("contains a space or a line break; write it like http://collector:4318")
    if not value.lower().startswith(("http://", "https://")):
        raise ValueError("has no scheme; write it like http://collector:4318")
    return value


def path(value: str) -> Path:
    """Read a path."""
    return Path(value)


def truth(value: str) -> bool:
    """Read a boolean as the OpenTelemetry specification does: only `true` is true."""
    return value.lower() == "true"


def _number(value: str, kind: Callable[[str], N], what: str, example: str, least: float = 0) -> N:
    try:
        number = kind(value)
    except ValueError:
        raise ValueError(f"is not {what}; write it like {example}") from None
    if not least <= number < float("inf"):
        raise ValueError(f"is not {what}; write it like {example}")
    return number

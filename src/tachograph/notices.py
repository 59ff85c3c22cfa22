"""One line on stderr for an operator: said once, or at most once in a while, and never raising."""

import sys
import time
from collections.abc import Callable

# Without a lock: a signal handler may speak while its own thread does, and a forked child would inherit it held.
_said: dict[str, float] = {}


def notice(text: str) -> None:
    """Write `text` as one line on stderr, behind `tachograph: `; line breaks in it become spaces."""
    line = " ".join(text.splitlines())
    try:
        sys.stderr.write(f"tachograph: {line}\n")
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):  # no stderr, a closed one, or a full disk behind it
        return


def notice_once(key: str, text: str) -> None:
    """Write `text` the first time this process says something under `key`."""
    if _due(key, float("inf"), time.monotonic):
        notice(text)


def notice_at_most(key: str, text: str, *, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
    """Write `text` unless something was said under `key` less than `seconds` ago."""
    if _due(key, seconds, clock):
        notice(text)


def forget() -> None:
    """Forget what was said, so that it is said again (for tests)."""
    _said.clear()


def _due(key: str, seconds: float, clock: Callable[[], float]) -> bool:
    now = clock()
    last = _said.setdefault(key, now)
    if last is now:
        return True
    if now - last < seconds:
        return False
    _said[key] = now
    return True

"""The one place where faults of telemetry stop: counted by where they happened, said once a minute."""

from collections import Counter
from types import TracebackType

from tachograph.notices import notice_at_most

_faults: Counter[str] = Counter()


class contain:  # noqa: N801 - reads as a statement: `with contain("genai.on_end"):`
    """
    Swallow and count any `Exception` of the block; for telemetry only, never around a caller's own code.

    `KeyboardInterrupt`, `SystemExit` and other `BaseException`s pass through.
    """

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if error is None:
            return False
        if not isinstance(error, Exception):
            return False

        _faults[self._where] += 1
        notice_at_most(f"fault {self._where}", f"telemetry fault in {self._where}: {_describe(error)}")
        return True


def forget() -> None:
    """Count from zero: a forked child's faults are its own."""
    _faults.clear()


def faults() -> dict[str, int]:
    """Contained faults of this process so far, by where they happened."""
    return dict(_faults)


def _describe(error: Exception) -> str:
    try:
        return f"{type(error).__qualname__}: {error}"
    except Exception:  # noqa: BLE001 - an exception whose text cannot be made must not become a second fault
        return type(error).__qualname__

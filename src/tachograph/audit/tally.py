"""Counts of audit records, by event and result."""

import threading
from collections import Counter
from collections.abc import Mapping

from tachograph.audit.entry import KNOWN_EVENTS
from tachograph.notices import notice_once

OTHER = "_OTHER"

_WARNED_LIMIT = 100


class Tally:
    """Counts records by (event, result): written, refused, dropped; events of no list are counted together."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._warned: set[str] = set()
        self._lock = threading.RLock()  # a signal handler may count while it interrupts a count

    def add(self, event: str, result: str) -> None:
        """Count one record; an event of no list is warned about, once a name and for so many names."""
        known = event in KNOWN_EVENTS
        with self._lock:
            self._counts[event if known else OTHER, result] += 1
        if not known:
            self._warn(event)

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Return the counts so far."""
        with self._lock:
            return dict(self._counts)

    def after_fork(self) -> None:
        """Count from zero, with a lock that nobody holds."""
        self._lock = threading.RLock()
        self._counts = Counter()

    def _warn(self, event: str) -> None:
        if event in self._warned or len(self._warned) >= _WARNED_LIMIT:
            return
        self._warned.add(event)
        notice_once(
            f"audit event {event}", f"audit event {event!r} is not of the closed list; it is recorded all the same"
        )

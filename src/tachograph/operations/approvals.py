"""Approvals: what was requested, what was decided, and what still waits."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from opentelemetry import trace

from tachograph import correlation
from tachograph.catalogue import OTHER, events, labels, tools
from tachograph.contain import contain
from tachograph.fork import after_fork
from tachograph.metrics import RECORDER, Measurement, Values
from tachograph.notices import notice_once
from tachograph.operations.facts import audit

_DECIDED = {"granted": "APPROVE", "denied": "REJECT", "expired": "EXPIRE", "modified": "MODIFY"}
_PENDING_KEPT = 10_000


class Queue:
    """Approvals that this process requested and nobody has decided, by id, the oldest first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, kept: int = _PENDING_KEPT) -> None:
        self._clock = clock
        self._kept = kept
        self._requested: OrderedDict[str, tuple[float, str | None]] = OrderedDict()
        self._lock = threading.Lock()
        self._observed = False

    def request(self, approval_id: str, subject: str | None) -> None:
        """Note a request; one that is pending already keeps its age."""
        self._observe()
        with self._lock:
            self._requested.setdefault(approval_id, (self._clock(), subject))
            if len(self._requested) > self._kept:
                self._requested.popitem(last=False)
                notice_once("approvals", f"more than {self._kept} approvals are pending: the oldest is forgotten")

    def decide(self, approval_id: str | None, subject: str | None) -> str | None:
        """
        Take a request from the queue and return its id.

        Without an id it is the oldest request about `subject`, or, without that too, the oldest of all.
        """
        with self._lock:
            found = approval_id if approval_id is not None else self._oldest(subject)
            if found is not None:
                self._requested.pop(found, None)
            return found

    def pending(self) -> Values:
        """How many requests wait."""
        return [(len(self._requested), {})]

    def oldest(self) -> Values:
        """Seconds since the oldest request that waits; nothing when none does."""
        with self._lock:
            requested = [at for at, _ in self._requested.values()]
        return [(self._clock() - min(requested), {})] if requested else []

    def after_fork(self) -> None:
        """Know nothing in a forked child: the parent's requests are counted by the parent."""
        self._lock = threading.Lock()
        self._requested = OrderedDict()

    def _oldest(self, subject: str | None) -> str | None:
        return next((key for key, (_, about) in self._requested.items() if subject in (None, about)), None)

    def _observe(self) -> None:
        if self._observed:
            return
        self._observed = True
        after_fork(self.after_fork)
        RECORDER.observe(tools.TOOL_APPROVALS_PENDING, self.pending)
        RECORDER.observe(tools.TOOL_APPROVALS_OLDEST, self.oldest)


QUEUE = Queue()


def approval(
    decision: str,
    *,
    approval_id: str | None = None,
    subject: str | None = None,
    approver: str | None = None,
    scope: str | None = None,
) -> str | None:
    """
    Count and audit a request for approval or a decision on one; return the approval's id.

    `decision` is requested, granted, denied, expired or modified; `subject` is what it is about, such as the id of a
    tool call. A request gets an id when it has none; a decision without one is on the oldest request about `subject`,
    or the oldest of all. An approver is an actor such as "user:ada".
    """
    with contain("operations.fact"):
        RECORDER.record((Measurement(tools.TOOL_APPROVALS, 1, {labels.DECISION.name: decision}),))
        if labels.DECISION.admit(decision) == OTHER:
            return approval_id
        if decision == "requested":
            approval_id = approval_id or correlation.new_id()
            QUEUE.request(approval_id, subject)
        else:
            approval_id = QUEUE.decide(approval_id, subject)
        trace.get_current_span().add_event("tachograph.approval", {labels.DECISION.name: decision})
    _audit(decision, approval_id, subject, approver, scope)
    return approval_id


def _audit(
    decision: str, approval_id: str | None, subject: str | None, approver: str | None, scope: str | None
) -> None:
    resource = f"approval:{approval_id or 'unknown'}"
    if decision == "requested":
        meta = {"approval_id": approval_id, "subject": subject, "scope": scope}
        audit(events.APPROVAL_REQUESTED, "REQUEST", resource, meta)
        return
    meta = {"approval_id": approval_id, "approver": approver, "scope": scope, "subject": subject}
    audit(events.APPROVAL_DECIDED, _DECIDED[decision], resource, meta, actor=approver)
